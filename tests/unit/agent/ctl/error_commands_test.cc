#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;
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
  server_.FailAtEnd("Checkpoint", Status(Code::kInternal, "CRIU failed"), {"op1", "/logs/op1"});
  const std::string with_logs = RunCtl({"checkpoint", "shop/web"}).err;
  server_.FailAtEnd("Checkpoint", Status(Code::kInternal, "CRIU failed"), {"op1", ""});
  const std::string without = RunCtl({"checkpoint", "shop/web"}).err;

  EXPECT_EQ(with_logs,
            "cryopodctl: checkpoint shop/web: CRIU failed\n"
            "cryopodctl: operation op1; its logs: cryopodctl logs op1\n");
  EXPECT_EQ(without,
            "cryopodctl: checkpoint shop/web: CRIU failed\n"
            "cryopodctl: operation op1\n");
}

TEST_F(ErrorCommandsTest, AFailureAsJsonIsOneObjectWithCodeReasonAndOperation) {
  server_.FailAtEnd("Checkpoint", Status(Code::kAborted, "sh came in", Reason::kPodChanged),
                    {"op1", "/logs/op1"});

  const Outcome outcome = RunCtl({"checkpoint", "shop/web", "--output", "json"});

  EXPECT_EQ(outcome.exit_code, 9);
  EXPECT_EQ(outcome.out, "") << "it may hold half of an export";
  const nlohmann::json error = nlohmann::json::parse(outcome.err).at("error");
  EXPECT_EQ(error.at("code"), "ABORTED");
  EXPECT_EQ(error.at("reason"), "pod_changed");
  EXPECT_THAT(error.at("message").get<std::string>(),
              ::testing::StartsWith("checkpoint shop/web: sh came in; "));
  EXPECT_EQ(error.at("operation_id"), "op1");
  EXPECT_EQ(error.at("log_folder"), "/logs/op1");
}

TEST_F(ErrorCommandsTest, APodThatIsNotThereIsNamedWithARemedy) {
  server_.FailNext("Checkpoint", Code::kNotFound, "no pod \"shop/gone\" on this node");

  const Outcome outcome = RunCtl({"checkpoint", "shop/gone"});

  EXPECT_THAT(outcome.err, HasSubstr("shop/gone"));
  EXPECT_THAT(outcome.err, HasSubstr("crictl pods"));
}

TEST_F(ErrorCommandsTest, AnArchiveThatIsNotThereIsNamedWithARemedy) {
  for (const char* command : {"inspect", "verify", "delete"}) {
    const Outcome outcome = RunCtl({command, "gone"});

    EXPECT_EQ(outcome.exit_code, 3) << command;
    ExpectOneLine(outcome.err);
    EXPECT_THAT(outcome.err, HasSubstr("\"gone\""));
    EXPECT_THAT(outcome.err, HasSubstr("cryopodctl list"));
  }
}

TEST_F(ErrorCommandsTest, ARemedyThatTheAgentGaveIsNotRepeated) {
  server_.FailNext("Inspect", Code::kNotFound, "no archive; see cryopodctl list");

  const Outcome outcome = RunCtl({"inspect", "gone"});

  EXPECT_EQ(outcome.err, "cryopodctl: inspect gone: no archive; see cryopodctl list\n");
}

TEST_F(ErrorCommandsTest, APodThatChangedIsNoOtherOperation) {
  server_.FailAtEnd("Checkpoint",
                    Status(Code::kAborted, "process 7 (sh) came in", Reason::kPodChanged));

  const Outcome outcome = RunCtl({"checkpoint", "shop/web"});

  EXPECT_EQ(outcome.exit_code, 9);
  ExpectOneLine(outcome.err);
  EXPECT_THAT(outcome.err, HasSubstr("process 7 (sh) came in; let the exec"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("cryopodctl list")));
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
           {},
           {"checkpoint"},
           {"frobnicate"},
           {"checkpoint", "shop/web", "--frob"},
           {"list", "--output", "yaml"},
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
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const UniqueFd err(::open(Path("err").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  terminal::Console console;
  console.out = full.get();
  console.err = err.get();

  const ExitCode exit_code = ctl::Run({"--socket", socket_, "list"}, console);

  EXPECT_EQ(exit_code, ExitCode::kNoSpace);
}

TEST_F(ErrorCommandsTest, HelpAndVersionNeedNoAgent) {
  const Outcome help = RunCtl({"--socket", Path("none.sock"), "--help"});
  const Outcome version = RunCtl({"--socket", Path("none.sock"), "--version"});

  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("Exit codes:"));
  EXPECT_THAT(help.out, HasSubstr("CRYOPOD_SOCKET"));
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("cryopodctl "));
}

}  // namespace
}  // namespace cryopod::ctl
