#include "restore/runtime/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/read_text.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class FailureTest : public ::testing::Test {
 protected:
  Arguments Logging(const std::string& format) {
    Arguments arguments;
    arguments.log = (temp_.path() / "log").string();
    arguments.log_format = format;
    return arguments;
  }
  std::string LogText() { return test::ReadText(temp_.path() / "log"); }

  test::TempDirectory temp_;
};

TEST_F(FailureTest, AppendsAJsonLineThatContainerdUnderstands) {
  test::WriteText(temp_.path() / "log", "{\"level\":\"info\",\"msg\":\"before\"}\n");

  EXPECT_EQ(Fail(Logging("json"), "no archive \"web-1\"\nin the store"), 1);

  EXPECT_THAT(LogText(), StartsWith("{\"level\":\"info\",\"msg\":\"before\"}\n"));
  EXPECT_THAT(LogText(), HasSubstr(R"({"level":"error","msg":"cryopod: no archive \"web-1\"\nin )"
                                   R"(the store","time":"20)"));
  EXPECT_EQ(LogText().back(), '\n');
}

TEST_F(FailureTest, WritesTextWhereTheFormatIsText) {
  EXPECT_EQ(Fail(Logging("text"), "reason"), 1);

  EXPECT_THAT(LogText(), MatchesRegex("time=\"20[^\"]*Z\" level=error msg=\"cryopod: reason\"\n"));
}

TEST_F(FailureTest, WithoutALogTheReasonGoesToStderrLikeTheRealRuntimes) {
  ::testing::internal::CaptureStderr();

  EXPECT_EQ(Fail(Arguments(), "reason"), 1);

  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "cryopod: reason\n");
}

TEST_F(FailureTest, ALogThatCannotBeWrittenStillFails) {
  Arguments arguments;
  arguments.log = (temp_.path() / "absent/log").string();

  EXPECT_EQ(Fail(arguments, "reason"), 1);
}

TEST_F(FailureTest, ReadsTheLastErrorOfTheRuntime) {
  test::WriteText(
      temp_.path() / "log",
      "{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"last\"}\n"
      "{\"level\":\"warning\",\"msg\":\"not this\"}\n{\"level\":\"error\"}\nrubbish\n");

  EXPECT_EQ(ReadLastError(Logging("json")), "last");
}

TEST_F(FailureTest, ReadsTheLastErrorOfATextLog) {
  test::WriteText(temp_.path() / "log",
                  "time=1 level=error msg=a\ntime=2 level=error msg=b\ntime=3 level=info msg=c\n");

  EXPECT_EQ(ReadLastError(Logging("text")), "time=2 level=error msg=b");
}

TEST_F(FailureTest, FindsTheErrorAtTheEndOfALongLog) {
  std::string text(size_t{200} << 10, 'x');
  text += "\n{\"level\":\"error\",\"msg\":\"end\"}\n";
  test::WriteText(temp_.path() / "log", text);

  EXPECT_EQ(ReadLastError(Logging("json")), "end");
}

TEST_F(FailureTest, ThereIsNoErrorInNoLog) {
  EXPECT_EQ(ReadLastError(Logging("json")), "");
  EXPECT_EQ(ReadLastError(Arguments()), "");
}

}  // namespace
}  // namespace cryopod::wrapper
