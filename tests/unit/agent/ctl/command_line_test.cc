#include "agent/ctl/command_line.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "tests/support/status_matchers.h"

namespace cryopod::ctl {
namespace {

using test::StatusIs;
using testing::HasSubstr;

CommandLine Parsed(const std::vector<std::string>& arguments) {
  const Result<CommandLine> line = ParseCommandLine(arguments);
  EXPECT_THAT(line, test::IsOk());
  return line.ok() ? *line : CommandLine();
}

TEST(ParseCommandLineTest, TheSocketComesFromTheOptionThenTheEnvironmentThenTheDefault) {
  ::unsetenv("CRYOPOD_SOCKET");
  EXPECT_EQ(Parsed({"list"}).socket, "/run/cryopod/agent.sock");
  ::setenv("CRYOPOD_SOCKET", "/from/env", 1);
  EXPECT_EQ(Parsed({"list"}).socket, "/from/env");
  EXPECT_EQ(Parsed({"list", "--socket", "/from/option"}).socket, "/from/option");
  ::unsetenv("CRYOPOD_SOCKET");
}

TEST(ParseCommandLineTest, AVerbIsNamedWithTheOneBeforeIt) {
  EXPECT_EQ(Parsed({"list"}).verb, "list");
  EXPECT_EQ(Parsed({"node"}).verb, "node");
  EXPECT_EQ(Parsed({"node", "uninstall", "--purge"}).verb, "node uninstall");
  EXPECT_EQ(Parsed({"pod", "remove", "a/b"}).verb, "pod remove");
}

TEST(ParseCommandLineTest, WhatIsNotSaidIsAsUsual) {
  EXPECT_EQ(Parsed({"node", "check"}).config_file, "/etc/cryopod/cryopod.toml");
  EXPECT_EQ(Parsed({"node", "check", "--config", "/c"}).config_file, "/c");
  EXPECT_FALSE(Parsed({"list"}).all);
  EXPECT_TRUE(Parsed({"list", "--all"}).all);
  EXPECT_EQ(Parsed({"restore", "a", "--request", "f"}).handler, "") << "the agent's";
  EXPECT_EQ(Parsed({"pod", "run", "f"}).handler_to_run, "cryopod");
  EXPECT_EQ(Parsed({"pod", "run", "f", "--handler", ""}).handler_to_run, "") << "the runtime's";
}

TEST(ParseCommandLineTest, OutputIsTextUnlessJsonIsAskedFor) {
  EXPECT_FALSE(Parsed({"list"}).as_json);
  EXPECT_TRUE(Parsed({"--output", "json", "list"}).as_json);
  EXPECT_TRUE(Parsed({"list", "--output=json"}).as_json);
}

TEST(ParseCommandLineTest, FileAndArchiveAreNamedAfterEachOther) {
  EXPECT_EQ(Parsed({"export", "web1"}).file, "web1.tar");
  EXPECT_EQ(Parsed({"export", "web1@sha256:00"}).file, "web1.tar");
  EXPECT_EQ(Parsed({"export", "web1", "--container", "app"}).file, "web1-app.tar");
  EXPECT_EQ(Parsed({"export", "web1", "-o", "x"}).file, "x");
  EXPECT_EQ(Parsed({"import", "/srv/web1.tar"}).archive, "web1");
  EXPECT_EQ(Parsed({"import", "v1.2"}).archive, "v1.2");
  EXPECT_EQ(Parsed({"import", "web1.tar", "--archive", "b"}).archive, "b");
}

TEST(ParseCommandLineTest, TimeoutsAreSecondsWithinADay) {
  EXPECT_EQ(Parsed({"checkpoint", "a/b", "--timeout", "86400"}).timeout_seconds, 86'400u);
  EXPECT_FALSE(ParseCommandLine({"checkpoint", "a/b", "--timeout", "86401"}).ok());
  EXPECT_FALSE(ParseCommandLine({"checkpoint", "a/b", "--timeout", "0"}).ok());
  EXPECT_FALSE(ParseCommandLine({"restore", "a", "--timeout", "1.5"}).ok());
}

TEST(ParseCommandLineTest, OperationsAreNamedByTheirId) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"wait", "op1"},
           {"cancel", "op1"},
           {"logs", "op1"},
           {"checkpoint", "a/b", "--operation", "op1"},
           {"restore", "a", "--request", "f", "--operation", "op1"}}) {
    EXPECT_EQ(Parsed(arguments).operation, "op1") << arguments[0];
  }
  EXPECT_FALSE(ParseCommandLine({"wait"}).ok());
}

TEST(ParseCommandLineTest, WhatIsUnknownIsNamed) {
  EXPECT_THAT(ParseCommandLine({"frobnicate"}),
              StatusIs(Code::kInvalidArgument, HasSubstr("\"frobnicate\"")));
  EXPECT_THAT(ParseCommandLine({"checkpoint", "a/b", "--frob"}),
              StatusIs(Code::kInvalidArgument, HasSubstr("--frob")));
}

TEST(ParseCommandLineTest, HelpOfACommandListsItsOptions) {
  EXPECT_THAT(Parsed({"checkpoint", "--help"}).help, HasSubstr("--without-volumes"));
}

}  // namespace
}  // namespace cryopod::ctl
