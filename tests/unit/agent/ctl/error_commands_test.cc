#include <gmock/gmock.h>

#include <algorithm>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class ErrorCommandsTest : public test::CtlFixture {
 protected:
  // Every error is one line that begins with the program's name.
  static void ExpectOneLine(const std::string& err) {
    EXPECT_THAT(err, StartsWith("cryopodctl: "));
    EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1) << err;
    EXPECT_EQ(err.back(), '\n');
  }
};

TEST_F(ErrorCommandsTest, EveryClassOfErrorHasItsExitCode) {
  const std::vector<std::pair<Code, int>> classes = {
      {Code::kInvalidArgument, 2},    {Code::kNotFound, 3}, {Code::kAlreadyExists, 4},
      {Code::kFailedPrecondition, 5}, {Code::kDataLoss, 6}, {Code::kUnavailable, 7},
      {Code::kResourceExhausted, 8},  {Code::kAborted, 9},  {Code::kDeadlineExceeded, 10},
      {Code::kCancelled, 12},         {Code::kInternal, 1}, {Code::kUnknown, 1},
      {Code::kPermissionDenied, 1},
  };
  for (const auto& [code, exit_code] : classes) {
    server_.FailNext("Checkpoint", code, "the reason");

    const Outcome outcome = RunCtl({"checkpoint", "shop/web"});

    EXPECT_EQ(outcome.exit_code, exit_code);
    ExpectOneLine(outcome.err);
    EXPECT_THAT(outcome.err, HasSubstr("checkpoint shop/web: the reason"));
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(ErrorCommandsTest, AFailureTellsItsOperationAndHowToSeeItsLogs) {
  for (const std::string logs : {"/logs/op1", ""}) {
    server_.FailAtEnd("Checkpoint", Status(Code::kInternal, "CRIU failed"), {"op1", logs});
    EXPECT_EQ(RunCtl({"checkpoint", "shop/web"}).err,
              "cryopodctl: checkpoint shop/web: CRIU failed\ncryopodctl: operation op1" +
                  std::string(logs.empty() ? "" : "; its logs: cryopodctl logs op1") + "\n");
  }
}

TEST_F(ErrorCommandsTest, AFailureAsJsonIsOneObjectWithCodeReasonAndOperation) {
  server_.FailAtEnd("Checkpoint", Status(Code::kAborted, "sh came in", Reason::kPodChanged),
                    {"op1", "/logs/op1"});

  const Outcome outcome = RunCtl({"checkpoint", "shop/web", "--output", "json"});

  EXPECT_EQ(outcome.exit_code, 9);
  EXPECT_EQ(outcome.out, "") << "it may hold half of an export";
  const nlohmann::json error = nlohmann::json::parse(outcome.err).at("error");
  EXPECT_EQ(error["code"], "ABORTED");
  EXPECT_EQ(error["reason"], "pod_changed");
  EXPECT_THAT(error["message"].get<std::string>(),
              StartsWith("checkpoint shop/web: sh came in; let the exec"));
  EXPECT_EQ(error["operation_id"], "op1");
  EXPECT_EQ(error["log_folder"], "/logs/op1");
}

TEST_F(ErrorCommandsTest, WhatIsNotThereIsNamedWithARemedyUnlessTheAgentGaveOne) {
  server_.FailNext("Checkpoint", Code::kNotFound, "no pod \"shop/gone\" on this node");
  EXPECT_THAT(RunCtl({"checkpoint", "shop/gone"}).err,
              AllOf(HasSubstr("\"shop/gone\""), HasSubstr("crictl pods")));
  for (const char* command : {"inspect", "verify", "delete"}) {
    const Outcome outcome = RunCtl({command, "gone"});
    EXPECT_EQ(outcome.exit_code, 3) << command;
    ExpectOneLine(outcome.err);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("\"gone\""), HasSubstr("cryopodctl list")));
  }
  server_.FailNext("Inspect", Code::kNotFound, "no archive; see cryopodctl list");
  EXPECT_EQ(RunCtl({"inspect", "gone"}).err,
            "cryopodctl: inspect gone: no archive; see cryopodctl list\n");
}

TEST_F(ErrorCommandsTest, AnAbsentSocketIsNamedWithARemedy) {
  const Outcome outcome = RunCtl({"--socket", Path("none.sock"), "list"});

  EXPECT_EQ(outcome.exit_code, 7);
  ExpectOneLine(outcome.err);
  EXPECT_THAT(outcome.err, HasSubstr(Path("none.sock")));
  EXPECT_THAT(outcome.err, HasSubstr("cryopod-agent"));
}

TEST_F(ErrorCommandsTest, AMessageOfSeveralLinesBecomesOne) {
  server_.FailNext("Checkpoint", Code::kFailedPrecondition,
                   "io_uring in app\nnotifier in \x1b[1mdb");

  const Outcome outcome = RunCtl({"checkpoint", "shop/web"});

  ExpectOneLine(outcome.err);
  EXPECT_THAT(outcome.err, HasSubstr("io_uring in app notifier in ?[1mdb"));
}

TEST_F(ErrorCommandsTest, WrongUseAsksTheAgentNothing) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"checkpoint"},
           {"frobnicate"},
           {"checkpoint", "shop/web", "--frob"},
           {"list", "--output", "xml"},
           {"export", "web1", "-o", "web1.tar"},
           {"checkpoint", "shop/web", "-n", "other"},
           {"completion"},
           {"restore", "web1", "--request", "f", "--request-from-archive"},
           {"import", "-"},
           {"checkpoint", "shop/web", "--timeout", "0"},
           {"restore", "web1", "--request", Path("gone.json")}}) {
    const Outcome outcome = RunCtl(arguments);

    EXPECT_EQ(outcome.exit_code, 2);
    ExpectOneLine(outcome.err);
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_TRUE(server_.calls().empty());
}

TEST_F(ErrorCommandsTest, AnAnswerThatCannotBeWrittenIsAFailure) {
  server_.AddArchive(Archive("web1"), "bytes");
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"list"}, {"export", "web1", "--file", "-"}}) {
    const Outcome outcome = RunCtl(arguments, "", "/dev/full");
    EXPECT_EQ(outcome.exit_code, 8) << arguments[0];
    EXPECT_THAT(outcome.err, HasSubstr("No space left"));
  }
}

TEST_F(ErrorCommandsTest, EachOfSeveralIsTriedAndEachFailureIsToldAndTheFirstDecides) {
  for (const std::string verb : {"inspect", "verify", "delete"}) {
    server_.AddArchive(Archive("web1"), "");
    server_.FailNext(verb == "inspect"  ? "Inspect"
                     : verb == "verify" ? "Verify"
                                        : "Delete",
                     Code::kDataLoss, "index.json: not JSON");

    const Outcome outcome = RunCtl({verb, "damaged", "web1", "gone"});

    EXPECT_EQ(outcome.exit_code, 6) << verb;
    EXPECT_THAT(outcome.err, AllOf(StartsWith("cryopodctl: " + verb + " damaged: index.json"),
                                   HasSubstr("\ncryopodctl: " + verb + " gone: ")));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 2) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("web1"));
  }
  EXPECT_FALSE(server_.has_archive("web1"));
}

TEST_F(ErrorCommandsTest, AFailureAsYamlIsTheSameObject) {
  EXPECT_THAT(RunCtl({"inspect", "gone", "-o", "yaml"}).err,
              AllOf(StartsWith("error:\n  code: NOT_FOUND\n  reason: not_found\n  message: \""),
                    HasSubstr("\n  operation_id: \"\"\n")));
}

TEST_F(ErrorCommandsTest, HelpAndVersionNeedNoAgent) {
  const Outcome help = RunCtl({"--socket", Path("none.sock"), "--help"});
  const Outcome version = RunCtl({"--socket", Path("none.sock"), "--version"});

  const Outcome bare = RunCtl({});
  EXPECT_EQ(bare.exit_code, 0);
  EXPECT_EQ(bare.out + bare.err, help.out);
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("Exit codes:"));
  EXPECT_THAT(help.out, HasSubstr("CRYOPOD_SOCKET"));
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("cryopodctl "));
}

}  // namespace
}  // namespace cryopod::ctl
