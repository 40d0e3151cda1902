#include "agent/ctl/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace cryopod::ctl {
namespace {

using testing::HasSubstr;

template <typename T>
T Parsed(const std::vector<std::string>& arguments) {
  const Result<CommandLine> line = ParseCommandLine(arguments);
  EXPECT_TRUE(line.ok()) << line.status().message();
  if (!line.ok() || !std::holds_alternative<T>(line->command)) {
    ADD_FAILURE() << "another command was parsed";
    return T();
  }
  return std::get<T>(line->command);
}

TEST(ParseCommandLineTest, TheSocketComesFromTheOptionThenTheEnvironmentThenTheDefault) {
  ::unsetenv("CRYOPOD_SOCKET");
  const Result<CommandLine> by_default = ParseCommandLine({"list"});
  ::setenv("CRYOPOD_SOCKET", "/from/env", 1);
  const Result<CommandLine> by_environment = ParseCommandLine({"list"});
  const Result<CommandLine> by_option = ParseCommandLine({"list", "--socket", "/from/option"});
  ::unsetenv("CRYOPOD_SOCKET");

  ASSERT_TRUE(by_default.ok() && by_environment.ok() && by_option.ok());
  EXPECT_EQ(by_default->socket, "/run/cryopod/agent.sock");
  EXPECT_EQ(by_environment->socket, "/from/env");
  EXPECT_EQ(by_option->socket, "/from/option");
}

TEST(ParseCommandLineTest, NodeCheckKnowsTheUsualConfigurationUnlessAnotherIsNamed) {
  EXPECT_EQ(Parsed<NodeCheckCommand>({"node", "check"}).config_file, "/etc/cryopod/cryopod.toml");
  EXPECT_EQ(Parsed<NodeCheckCommand>({"node", "check", "--config", "/c"}).config_file, "/c");
}

TEST(ParseCommandLineTest, OutputIsTextUnlessJsonIsAskedFor) {
  const Result<CommandLine> text = ParseCommandLine({"list"});
  const Result<CommandLine> before = ParseCommandLine({"--output", "json", "list"});
  const Result<CommandLine> after = ParseCommandLine({"list", "--output=json"});

  ASSERT_TRUE(text.ok() && before.ok() && after.ok());
  EXPECT_EQ(text->output, Output::kText);
  EXPECT_EQ(before->output, Output::kJson);
  EXPECT_EQ(after->output, Output::kJson);
}

TEST(ParseCommandLineTest, ExportNamesItsFileAfterTheArchive) {
  EXPECT_EQ(Parsed<ExportCommand>({"export", "web1"}).file, "web1.tar");
  EXPECT_EQ(Parsed<ExportCommand>({"export", "web1@sha256:00"}).file, "web1.tar");
  EXPECT_EQ(Parsed<ExportCommand>({"export", "web1", "--container", "app"}).file, "web1-app.tar");
  EXPECT_EQ(Parsed<ExportCommand>({"export", "web1", "-o", "x"}).file, "x");
}

TEST(ParseCommandLineTest, ImportNamesTheArchiveAfterItsFile) {
  EXPECT_EQ(Parsed<ImportCommand>({"import", "/srv/web1.tar"}).archive, "web1");
  EXPECT_EQ(Parsed<ImportCommand>({"import", "v1.2"}).archive, "v1.2");
  EXPECT_EQ(Parsed<ImportCommand>({"import", "web1.tar", "--archive", "b"}).archive, "b");
}

TEST(ParseCommandLineTest, TimeoutsAreSecondsWithinADay) {
  EXPECT_EQ(Parsed<CheckpointCommand>({"checkpoint", "a/b", "--timeout", "86400"}).timeout_seconds,
            86'400u);
  EXPECT_FALSE(ParseCommandLine({"checkpoint", "a/b", "--timeout", "86401"}).ok());
  EXPECT_FALSE(ParseCommandLine({"checkpoint", "a/b", "--timeout", "0"}).ok());
  EXPECT_FALSE(ParseCommandLine({"restore", "a", "--timeout", "1.5"}).ok());
}

TEST(ParseCommandLineTest, OperationsAreNamedByTheirId) {
  EXPECT_EQ(Parsed<WaitCommand>({"wait", "op1"}).operation, "op1");
  EXPECT_EQ(Parsed<CancelCommand>({"cancel", "op1"}).operation, "op1");
  EXPECT_EQ(Parsed<LogsCommand>({"logs", "op1"}).operation, "op1");
  EXPECT_EQ(Parsed<CheckpointCommand>({"checkpoint", "a/b", "--operation", "op1"}).operation,
            "op1");
  EXPECT_EQ(
      Parsed<RestoreCommand>({"restore", "a", "--request", "f", "--operation", "op1"}).operation,
      "op1");
  EXPECT_FALSE(ParseCommandLine({"wait"}).ok());
}

TEST(ParseCommandLineTest, OperationsThatEndedAreListedWhenTheyAreAskedFor) {
  EXPECT_FALSE(Parsed<ListCommand>({"list"}).all);
  EXPECT_TRUE(Parsed<ListCommand>({"list", "--all"}).all);
}

TEST(ParseCommandLineTest, AnUnknownCommandIsNamed) {
  const Result<CommandLine> line = ParseCommandLine({"frobnicate"});

  EXPECT_EQ(line.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(line.status().message(), HasSubstr("\"frobnicate\""));
}

TEST(ParseCommandLineTest, AnUnknownOptionIsNamed) {
  const Result<CommandLine> line = ParseCommandLine({"checkpoint", "a/b", "--frob"});

  EXPECT_EQ(line.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(line.status().message(), HasSubstr("--frob"));
}

TEST(ParseCommandLineTest, HelpOfACommandListsItsOptions) {
  const Result<CommandLine> line = ParseCommandLine({"checkpoint", "--help"});

  ASSERT_TRUE(line.ok()) << line.status().message();
  EXPECT_THAT(line->help, HasSubstr("--without-volumes"));
}

}  // namespace
}  // namespace cryopod::ctl
