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

TEST(ParseCommandLineTest, OutputIsTextUnlessAnotherFormIsAskedFor) {
  using terminal::Form;
  EXPECT_EQ(Parsed({"list"}).form, Form::kText);
  EXPECT_EQ(Parsed({"list", "-o", "text"}).form, Form::kText);
  EXPECT_EQ(Parsed({"-o", "wide", "list"}).form, Form::kWide);
  EXPECT_EQ(Parsed({"list", "--output=json"}).form, Form::kJson);
  EXPECT_EQ(Parsed({"list", "-oyaml"}).form, Form::kYaml);
  EXPECT_THAT(
      ParseCommandLine({"list", "-o", "xml"}),
      StatusIs(Code::kInvalidArgument, HasSubstr("--output: xml not in {text,wide,json,yaml}")));
}

TEST(ParseCommandLineTest, TheFileOfAnExportIsNotItsOutput) {
  EXPECT_EQ(Parsed({"export", "web1", "-f", "x", "-o", "json"}).form, terminal::Form::kJson);
  for (const char* file : {"web1.tar", "-"}) {
    EXPECT_THAT(ParseCommandLine({"export", "web1", "-o", file}),
                StatusIs(Code::kInvalidArgument, HasSubstr("named by --file")));
  }
}

TEST(ParseCommandLineTest, APodIsNamedWithItsNamespaceOrBesideIt) {
  for (const std::vector<std::string>& verb :
       std::vector<std::vector<std::string>>{{"checkpoint"}, {"pod", "remove"}}) {
    const auto parse = [&verb](const std::vector<std::string>& rest) {
      std::vector<std::string> arguments = verb;
      arguments.insert(arguments.end(), rest.begin(), rest.end());
      return ParseCommandLine(arguments);
    };
    for (const std::vector<std::string>& rest :
         std::vector<std::vector<std::string>>{{"shop/web"},
                                               {"-n", "shop", "web"},
                                               {"web", "--namespace", "shop"},
                                               {"shop/web", "-n", "shop"}}) {
      const Result<CommandLine> line = parse(rest);
      ASSERT_THAT(line, test::IsOk());
      EXPECT_EQ(line->pod, "shop/web");
    }
    EXPECT_THAT(parse({"shop/web", "-n", "other"}),
                StatusIs(Code::kInvalidArgument,
                         testing::AllOf(HasSubstr("\"shop/web\""), HasSubstr("\"other\""))));
  }
  EXPECT_EQ(Parsed({"list", "-n", "shop"}).pod_namespace, "shop");
}

TEST(ParseCommandLineTest, AnAliasIsTheVerb) {
  EXPECT_EQ(Parsed({"ls"}).verb, "list");
  EXPECT_EQ(Parsed({"rm", "a"}).verb, "delete");
}

TEST(ParseCommandLineTest, SomeVerbsTakeSeveralArchives) {
  for (const char* verb : {"inspect", "verify", "delete", "rm"}) {
    EXPECT_THAT(Parsed({verb, "a", "version", "b"}).archives,
                testing::ElementsAre("a", "version", "b"));
    EXPECT_FALSE(ParseCommandLine({verb}).ok());
  }
  EXPECT_FALSE(ParseCommandLine({"export", "a", "b"}).ok());
}

TEST(ParseCommandLineTest, FileAndArchiveAreNamedAfterEachOther) {
  EXPECT_EQ(Parsed({"export", "web1"}).file, "web1.tar");
  EXPECT_EQ(Parsed({"export", "web1@sha256:00"}).file, "web1.tar");
  EXPECT_EQ(Parsed({"export", "web1", "--container", "app"}).file, "web1-app.tar");
  EXPECT_EQ(Parsed({"export", "web1", "-f", "x"}).file, "x");
  EXPECT_EQ(Parsed({"import", "/srv/web1.tar"}).archive, "web1");
  EXPECT_EQ(Parsed({"import", "v1.2"}).archive, "v1.2");
  EXPECT_EQ(Parsed({"import", "web1.tar", "--archive", "b"}).archive, "b");
}

TEST(ParseCommandLineTest, TimeoutsAreTimesWithinADay) {
  const std::pair<const char*, unsigned> cases[] = {
      {"300", 300},   {"90s", 90},      {"5m", 300},       {"1h", 3600},    {"1m30s", 90},
      {"1h1s", 3601}, {"1h2m3s", 3723}, {"86400", 86'400}, {"24h", 86'400}, {"0h1s", 1}};
  for (const auto& [text, seconds] : cases) {
    EXPECT_EQ(Parsed({"checkpoint", "a/b", "--timeout", text}).timeout_seconds, seconds) << text;
    EXPECT_EQ(Parsed({"restore", "a", "--request", "f", "--timeout", text}).timeout_seconds,
              seconds);
  }
}

TEST(ParseCommandLineTest, WhatIsNoTimeIsRefusedWithTheForms) {
  for (const std::string text :
       {"0", "0s", "86401", "24h1s", "1.5", "1.5h", "5 m", "s", "5d", "5M", "30s1m", "1m1m", "1m30",
        "+5", "99999999999999999999", "99999999999999999999h", "18446744073709551615m"}) {
    EXPECT_THAT(ParseCommandLine({"checkpoint", "a/b", "--timeout=" + text}),
                StatusIs(Code::kInvalidArgument,
                         testing::AllOf(HasSubstr("--timeout: \"" + text + "\""),
                                        HasSubstr("300 (seconds), 90s, 5m, 1h or 1m30s"))));
  }
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

TEST(ParseCommandLineTest, HelpOfACommandListsItsOptionsAndThoseOfAll) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"checkpoint", "--help"}, {"node", "--help"}, {"node", "check", "--help"}}) {
    const std::string help = Parsed(arguments).help;
    EXPECT_THAT(help, HasSubstr("--socket PATH"));
    EXPECT_THAT(help, HasSubstr("-o,--output FORMAT"));
    EXPECT_THAT(help, testing::Not(HasSubstr("Exit codes")));
  }
  EXPECT_THAT(Parsed({"checkpoint", "--help"}).help, HasSubstr("--without-volumes"));
}

TEST(ParseCommandLineTest, NoVerbIsAnsweredWithTheHelp) {
  EXPECT_THAT(Parsed({}).help, HasSubstr("Exit codes:"));
  EXPECT_EQ(Parsed({}).help, Parsed({"--help"}).help);
  EXPECT_THAT(Parsed({}).help, HasSubstr("list, ls"));
}

}  // namespace
}  // namespace cryopod::ctl
