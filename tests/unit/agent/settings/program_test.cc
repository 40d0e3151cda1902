#include "agent/settings/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::settings {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ProgramTest : public ::testing::Test {
 protected:
  Program Describe() {
    return {"cryopod-agent",
            "about",
            "1.2.3",
            "agent",
            {{"run_dir", &run_dir_, "path", "where it runs", AbsolutePath()},
             {"idle_timeout", &idle_timeout_s_, "seconds", "how long it idles", Between(1, 100)},
             {"use_tls", &use_tls_, "true or false", "whether it uses TLS"}},
            file_};
  }

  Result<std::string> Read(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "cryopod-agent");
    return ReadCommandLine(Describe(), static_cast<int>(arguments.size()), arguments.data());
  }

  void WriteFile(const std::string& text) { cryopod::test::WriteText(file_, text); }

  cryopod::test::TempDirectory temp_;
  const std::string file_ = temp_.path() / "cryopod.toml";
  std::string run_dir_ = "/run/cryopod";
  uint32_t idle_timeout_s_ = 60;
  bool use_tls_ = true;
};

TEST_F(ProgramTest, WithoutFileAndFlagsTheDefaultsHold) {
  EXPECT_THAT(Read({}), IsOkAnd(""));
  EXPECT_EQ(run_dir_, "/run/cryopod");
  EXPECT_EQ(idle_timeout_s_, 60u);
  EXPECT_TRUE(use_tls_);
}

TEST_F(ProgramTest, TheFileOverridesTheDefaultsAndFlagsOverrideTheFile) {
  WriteFile("[agent]\nrun_dir = \"/file\"\nidle_timeout = 5\nuse_tls = false\n");

  EXPECT_THAT(Read({"--run-dir", "/flag"}), IsOkAnd(""));

  EXPECT_EQ(run_dir_, "/flag");
  EXPECT_EQ(idle_timeout_s_, 5u);
  EXPECT_FALSE(use_tls_);
}

TEST_F(ProgramTest, AnotherProgramsSectionIsNotLookedAt) {
  WriteFile("[gateway]\nrun_dir = 7\nunheard_of = true\n[agent]\nidle_timeout = 5\n");

  EXPECT_THAT(Read({}), IsOk());

  EXPECT_EQ(idle_timeout_s_, 5u);
}

TEST_F(ProgramTest, WhatIsWrongInTheFileIsRefusedByNameFileAndLine) {
  const std::pair<const char*, const char*> lines[] = {
      {"[agnet]", "[agnet]"},  // of nobody; a line before its key
      {"idle_timeuot = 5", "idle_timeuot"},
      {"run_dir = \"relative\"", "run_dir"},
      {"run_dir = 5", "run_dir"},
      {"idle_timeout = 0", "idle_timeout"},
      {"idle_timeout = \"5\"", "idle_timeout"},
      {"idle_timeout = 1s", "idle_timeout"},
      {"use_tls = yes", "use_tls"},
      {"use_tls = \"true\"", "use_tls"},
      {"run_dir = \"/a\\tb\"", "run_dir"},
  };
  for (const auto& [line, named] : lines) {
    WriteFile("[agent]\n" + std::string(line) + "\nuse_tls_not = true\n");
    const std::string place = file_ + (*line == '[' ? ":3" : ":2");
    EXPECT_THAT(Read({"--print-config"}),
                StatusIs(Code::kInvalidArgument, AllOf(StartsWith(place), HasSubstr(named))))
        << line;
  }
}

TEST_F(ProgramTest, ABadFlagIsRefusedByName) {
  for (const auto& [arguments, named] :
       std::vector<std::pair<std::vector<const char*>, std::string>>{
           {{"--no-such-flag"}, "--no-such-flag"},
           {{"stray"}, "stray"},
           {{"--run-dir"}, "--run-dir"},
           {{"--run-dir", "relative"}, "--run-dir"},
           {{"--idle-timeout", "soon"}, "--idle-timeout"},
           {{"--idle-timeout=-1"}, "--idle-timeout"},
           {{"--use-tls", "maybe"}, "--use-tls"}}) {
    EXPECT_THAT(Read(arguments), StatusIs(Code::kInvalidArgument, HasSubstr(named))) << named;
  }
}

TEST_F(ProgramTest, ANamedFileIsReadInPlaceOfTheUsualOne) {
  WriteFile("[agent]\nidle_timeout = 5\n");
  const std::string other = temp_.path() / "other.toml";
  cryopod::test::WriteText(other, "[agent]\nrun_dir = \"/other\"\n");

  EXPECT_THAT(Read({"--config", other.c_str()}), IsOk());

  EXPECT_EQ(run_dir_, "/other");
  EXPECT_EQ(idle_timeout_s_, 60u);
}

TEST_F(ProgramTest, AFileThatOthersMayWriteOrThatIsNoneOrAbsentIsRefusedByName) {
  WriteFile("[agent]\n");
  ::chmod(file_.c_str(), 0666);

  EXPECT_THAT(Read({}), StatusIs(Code::kPermissionDenied, HasSubstr(file_)));
  EXPECT_THAT(Read({"--config", "/"}), StatusIs(Code::kInvalidArgument, HasSubstr("no file")));
  EXPECT_THAT(Read({"--config", "/nowhere/x.toml"}),
              StatusIs(Code::kNotFound, HasSubstr("/nowhere/x.toml")));
}

TEST_F(ProgramTest, WhatIsPrintedGivesTheSameWhenItIsRead) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const std::string printed,
      Read({"--run-dir", "/a \"b\" #c", "--use-tls", "false", "--print-config"}));
  EXPECT_EQ(printed,
            "[agent]\nrun_dir = \"/a \\\"b\\\" #c\"\nidle_timeout = 60\nuse_tls = false\n");
  run_dir_ = "/other";
  use_tls_ = true;
  WriteFile(printed);

  EXPECT_THAT(Read({"--print-config"}), IsOkAnd(printed));
}

TEST_F(ProgramTest, HelpNamesEveryFlagWithUnitAndDefaultAndTheVersionIsPrinted) {
  EXPECT_THAT(Read({"--version"}), IsOkAnd("cryopod-agent 1.2.3\n"));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string help, Read({"--help"}));

  for (const char* part : {"--run-dir", "/run/cryopod", "--idle-timeout", "seconds", "60",
                           "--use-tls", "--config", "--print-config", "--version"}) {
    EXPECT_THAT(help, HasSubstr(part));
  }
}

TEST_F(ProgramTest, TheExampleHoldsEveryKeyCommentedOutWithItsDefault) {
  const std::string example = PrintExample(Describe());

  EXPECT_EQ(example,
            "[agent]\n"
            "\n# where it runs (path)\n# run_dir = \"/run/cryopod\"\n"
            "\n# how long it idles (seconds)\n# idle_timeout = 60\n"
            "\n# whether it uses TLS (true or false)\n# use_tls = true\n");
  WriteFile(example);
  EXPECT_THAT(Read({}), IsOk());
}

}  // namespace
}  // namespace cryopod::settings
