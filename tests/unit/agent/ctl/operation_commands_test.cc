#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class OperationCommandsTest : public test::CtlFixture {
 protected:
  OperationCommandsTest() {
    api::CheckpointResult checkpoint;
    checkpoint.archive = "web1";
    server_.SetCheckpoint({{"op1", "dump", "app", 1, 10}}, checkpoint);
  }
};

TEST_F(OperationCommandsTest, WaitFollowsAnOperationAndTellsItsResult) {
  const Outcome text = RunCtl({"wait", "op1"});
  const Outcome as_json = RunCtl({"wait", "op1", "--output", "json"});

  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("archive  web1\n"));
  EXPECT_EQ(text.err, "wait op1: dump app\n");
  EXPECT_EQ(json::parse(as_json.out)["archive"], "web1");
  EXPECT_THAT(server_.calls(), ElementsAre("Wait op1", "Wait op1"));
}

TEST_F(OperationCommandsTest, WaitFailsAsTheOperationDid) {
  server_.FailAtEnd("Wait", Status(Code::kDataLoss, "blob 4f"), {"op1", ""});

  const Outcome outcome = RunCtl({"wait", "op1"});

  EXPECT_EQ(outcome.exit_code, 6);
  EXPECT_THAT(outcome.err, HasSubstr("cryopodctl: wait op1: blob 4f"));
  EXPECT_THAT(outcome.err, HasSubstr("cryopodctl: operation op1\n"));
}

TEST_F(OperationCommandsTest, WhoWaitsForACancelledOperationHearsItByTheExitCode) {
  server_.FailAtEnd("Wait", Status(Code::kCancelled, "the operation was cancelled"));

  EXPECT_EQ(RunCtl({"wait", "op1"}).exit_code, 12);
}

TEST_F(OperationCommandsTest, CancelWaitsForTheEndAndSaysSo) {
  server_.FailAtEnd("Wait", Status(Code::kCancelled, "the operation was cancelled"), {"op1", ""});

  const Outcome text = RunCtl({"cancel", "op1"});
  const Outcome as_json = RunCtl({"cancel", "op1", "--output", "json"});

  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out, "cancelled op1\n");
  EXPECT_EQ(as_json.out, "{\"cancelled\":\"op1\"}\n");
  EXPECT_THAT(server_.calls(), ElementsAre("Cancel op1", "Wait op1", "Cancel op1", "Wait op1"));
}

TEST_F(OperationCommandsTest, CancelThatCameTooLateTellsTheResult) {
  const Outcome outcome = RunCtl({"cancel", "op1"});

  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("archive  web1\n"));
}

TEST_F(OperationCommandsTest, CancelOfWhatHasEndedIsRefusedAndWaitsForNothing) {
  server_.FailNext("Cancel op1", Code::kFailedPrecondition, "operation op1 has ended already");

  const Outcome outcome = RunCtl({"cancel", "op1"});

  EXPECT_EQ(outcome.exit_code, 5);
  EXPECT_THAT(outcome.err, HasSubstr("cancel op1: operation op1 has ended already"));
  EXPECT_THAT(server_.calls(), ElementsAre("Cancel op1"));
}

TEST_F(OperationCommandsTest, CancelOfWhatFailedMeanwhileIsThatFailure) {
  server_.FailAtEnd("Wait", Status(Code::kResourceExhausted, "disk full"));

  EXPECT_EQ(RunCtl({"cancel", "op1"}).exit_code, 8);
}

TEST_F(OperationCommandsTest, LogsArePrintedUnderTheirNames) {
  server_.AddLog("app.dump.log", "one\n");
  server_.AddLog("db\x1b[2J.dump.log", "two\x1b[2J\n");

  const Outcome outcome = RunCtl({"logs", "op1"});

  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out,
            "==> app.dump.log <==\n"
            "one\n"
            "==> db?[2J.dump.log <==\n"
            "two?[2J\n");
  EXPECT_EQ(RunCtl({"logs", "op1", "--output", "json"}).out, outcome.out);
}

TEST_F(OperationCommandsTest, AnOperationWithoutLogsIsNotFound) {
  server_.FailNext("Logs op1", Code::kNotFound, "operation op1 has no logs");

  const Outcome outcome = RunCtl({"logs", "op1"});

  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("logs op1: operation op1 has no logs"));
}

TEST_F(OperationCommandsTest, ListShowsWhatEndedOnlyWhenItIsAsked) {
  api::Operation ended = RunningOperation();
  ended.operation_id = "op8";
  ended.state = "failed";
  ended.reason = "pod_changed";
  server_.AddOperation(RunningOperation());
  server_.AddOperation(ended);

  EXPECT_THAT(RunCtl({"list"}).out, Not(HasSubstr("op8")));
  EXPECT_THAT(
      RunCtl({"list", "--all"}).out,
      HasSubstr("op8        restore  shop/db  2026-11-24T22:00:00Z  failed: pod_changed\n"));
  const json answer = json::parse(RunCtl({"list", "--all", "--output", "json"}).out);
  EXPECT_EQ(answer["operations"][1]["state"], "failed");
  EXPECT_EQ(answer["operations"][1]["reason"], "pod_changed");
}

TEST_F(OperationCommandsTest, ListSaysWhyAJobIsNotUnderstood) {
  api::Operation foreign;
  foreign.operation_id = "c-9";
  foreign.kind = "unknown";
  foreign.state = "foreign";
  foreign.stage = "not understood";
  foreign.message = "written in format 9";
  server_.AddOperation(foreign);

  EXPECT_THAT(RunCtl({"list", "--all"}).out, HasSubstr("not understood: written in format 9\n"));
}

}  // namespace
}  // namespace cryopod::ctl
