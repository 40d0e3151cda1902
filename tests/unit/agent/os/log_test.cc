#include "agent/os/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "agent/os/file.h"
#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Puts a descriptor in the place of stderr and the old one back.
class StderrReplaced {
 public:
  explicit StderrReplaced(int fd) : old_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
    ::dup2(fd, STDERR_FILENO);
  }
  StderrReplaced(const StderrReplaced&) = delete;
  StderrReplaced& operator=(const StderrReplaced&) = delete;
  ~StderrReplaced() { ::dup2(old_.get(), STDERR_FILENO); }

 private:
  UniqueFd old_;
};

class LogTest : public ::testing::Test {
 protected:
  ~LogTest() override { SetLogLevel(LogLevel::kInfo); }

  // What one call writes.
  template <typename Act>
  std::string Captured(Act act) {
    Pipe pipe = MakePipe().value();
    {
      const StderrReplaced replaced(pipe.write_end.get());
      act();
    }
    pipe.write_end.Reset();
    return ReadAll(pipe.read_end.get(), size_t{1} << 20).value();
  }
};

TEST_F(LogTest, ALineIsOneJsonObject) {
  const std::string line = Captured([] {
    Log(LogLevel::kWarning, "pod thawed", {{"pod", "default/web"}, {"frozen_ms", "12"}});
  });

  EXPECT_THAT(line, StartsWith("{\"ts\":\"2"));
  EXPECT_THAT(line, HasSubstr("Z\",\"level\":\"warning\",\"msg\":\"pod thawed\","
                              "\"pod\":\"default/web\",\"frozen_ms\":\"12\"}"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST_F(LogTest, WhatIsBelowTheLevelIsNotWritten) {
  const std::string by_default = Captured([] { Log(LogLevel::kDebug, "detail"); });
  SetLogLevel(LogLevel::kError);
  const std::string warning = Captured([] { Log(LogLevel::kWarning, "detail"); });
  const std::string error = Captured([] { Log(LogLevel::kError, "detail"); });

  EXPECT_EQ(by_default, "");
  EXPECT_EQ(warning, "");
  EXPECT_THAT(error, HasSubstr("detail"));
}

TEST_F(LogTest, ALevelIsKnownByItsName) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    EXPECT_EQ(ParseLogLevel(LogLevelName(level)), level);
  }
  EXPECT_EQ(ParseLogLevel("loud"), std::nullopt);
  EXPECT_EQ(ParseLogLevel(""), std::nullopt);
}

TEST_F(LogTest, WhatIsTrueOfTheWholeProcessStandsInEveryLine) {
  SetLogContext({{"operation", "c-1"}, {"pod", "default/web"}});
  const std::string line = Captured([] { Log(LogLevel::kInfo, "frozen", {{"container", "app"}}); });
  SetLogContext({});

  EXPECT_THAT(line, HasSubstr("\"msg\":\"frozen\",\"operation\":\"c-1\",\"pod\":\"default/web\","
                              "\"container\":\"app\"}"));
  EXPECT_THAT(Captured([] { Log(LogLevel::kInfo, "x"); }), Not(HasSubstr("operation")));
}

TEST_F(LogTest, TheEnvironmentNamesTheLevelOfAnInnerProgram) {
  ::setenv(kLogLevelVariable, "error", 1);
  SetLogLevelFromEnvironment();
  EXPECT_EQ(GetLogLevel(), LogLevel::kError);

  ::setenv(kLogLevelVariable, "loud", 1);
  SetLogLevelFromEnvironment();
  ::unsetenv(kLogLevelVariable);
  SetLogLevelFromEnvironment();

  EXPECT_EQ(GetLogLevel(), LogLevel::kError);
}

TEST_F(LogTest, AStrangersBytesNeverReachTheTerminalRaw) {
  const std::string line = Captured([] {
    Log(LogLevel::kInfo, "name \x1b[2J\x07\n\x7f\xff", {{"k\"", "\"}{"}});
  });

  for (const char c : line.substr(0, line.size() - 1)) {
    EXPECT_TRUE(c >= 0x20 && c <= 0x7e) << static_cast<int>(c);
  }
  EXPECT_THAT(line, HasSubstr("\"msg\":\"name \\u001b[2J\\u0007\\n\\u007f?\""));
  EXPECT_THAT(line, HasSubstr("\"k\\\"\":\"\\\"}{\""));
}

TEST_F(LogTest, ALongLineIsCutAndStillJson) {
  const std::string line = Captured([] {
    Log(LogLevel::kInfo, "long", {{"first", std::string(100'000, '\n')}, {"second", "x"}});
  });

  EXPECT_LE(line.size(), size_t{8192});
  EXPECT_GT(line.size(), size_t{6000});
  EXPECT_THAT(line, EndsWith("\"}\n"));
  // Never in the middle of an escape.
  EXPECT_THAT(line, Not(HasSubstr("\\\"}\n")));
}

TEST_F(LogTest, AReaderThatHasGoneDoesNotKillUs) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe pipe, MakePipe());
  pipe.read_end.Reset();
  const StderrReplaced replaced(pipe.write_end.get());

  Log(LogLevel::kError, "nobody reads this");

  SUCCEED();  // SIGPIPE would have ended the program
}

TEST_F(LogTest, AClosedStderrIsBorne) {
  const UniqueFd old(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  ::close(STDERR_FILENO);
  errno = ENOSPC;

  Log(LogLevel::kError, "nobody reads this");

  const int kept = errno;
  ::dup2(old.get(), STDERR_FILENO);
  EXPECT_EQ(kept, ENOSPC);
}

TEST_F(LogTest, AFullPipeCostsABoundedTime) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Pipe pipe, MakePipe(O_NONBLOCK));
  const std::string filler(65536, 'x');
  while (::write(pipe.write_end.get(), filler.data(), filler.size()) > 0) {
  }
  ASSERT_EQ(::fcntl(pipe.write_end.get(), F_SETFL, 0), 0);
  const auto start = std::chrono::steady_clock::now();

  {
    const StderrReplaced replaced(pipe.write_end.get());
    Log(LogLevel::kError, "nobody reads this");
  }

  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(JsonEscapeTest, PlainTextStaysAsItIsAndQuotesBackslashesAndControlsAreEscaped) {
  EXPECT_EQ(JsonEscape("default/web-0 ~"), "default/web-0 ~");
  EXPECT_EQ(JsonEscape(""), "");
  EXPECT_EQ(JsonEscape("a\"b\\c\nd\te"), "a\\\"b\\\\c\\nd\\u0009e");
  EXPECT_EQ(JsonEscape(std::string_view("\0", 1)), "\\u0000");
}

TEST(JsonEscapeTest, Utf8BecomesCodePointsAndWhatIsNoneAQuestionMark) {
  EXPECT_EQ(JsonEscape("\xc3\xa4"), "\\u00e4");
  EXPECT_EQ(JsonEscape("\xe2\x82\xac"), "\\u20ac");
  EXPECT_EQ(JsonEscape("\xf0\x9f\x90\xb3"), "\\ud83d\\udc33");
  EXPECT_EQ(JsonEscape("\xff"), "?");
  EXPECT_EQ(JsonEscape("\xc3"), "?");                 // cut short
  EXPECT_EQ(JsonEscape("\xc0\xaf"), "??");            // overlong '/'
  EXPECT_EQ(JsonEscape("\xe0\x80\xaf"), "???");       // overlong too
  EXPECT_EQ(JsonEscape("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(JsonEscape("\xf4\x90\x80\x80"), "????");  // above U+10FFFF
  EXPECT_EQ(JsonEscape("\xc3(b"), "?(b");
}

}  // namespace
}  // namespace cryopod
