#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "restore/runtime/wrapper.h"
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
  Arguments arguments = Logging("text");
  arguments.log += "/absent/log";

  EXPECT_EQ(Fail(arguments, "reason"), 1);
}

TEST_F(FailureTest, ReadsTheLastErrorOfTheRuntime) {
  test::WriteText(temp_.path() / "log", R"({"level":"error","msg":"first"}
{"level":"error","msg":"last"}
{"level":"warning","msg":"not this"}
{"level":"error"}
rubbish
)");
  EXPECT_EQ(ReadLastError(Logging("json")), "last");

  test::WriteText(temp_.path() / "log",
                  "time=1 level=error msg=a\ntime=2 level=error msg=b\ntime=3 level=info msg=c\n");
  EXPECT_EQ(ReadLastError(Logging("text")), "time=2 level=error msg=b");

  test::WriteText(temp_.path() / "log", std::string(size_t{200} << 10, 'x') +
                                            "\n{\"level\":\"error\",\"msg\":\"end\"}\n");
  EXPECT_EQ(ReadLastError(Logging("json")), "end") << "of a long log";
}

TEST_F(FailureTest, ThereIsNoErrorInNoLog) {
  EXPECT_EQ(ReadLastError(Logging("json")), "");
  EXPECT_EQ(ReadLastError(Arguments()), "");
}

}  // namespace
}  // namespace cryopod::wrapper
