#include <gmock/gmock.h>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

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

  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("archive  web1\n"));
  EXPECT_EQ(text.err, "wait op1: dump app\n");
  EXPECT_EQ(JsonOf({"wait", "op1"})["archive"], "web1");
  EXPECT_THAT(server_.calls(), ElementsAre("Wait op1", "Wait op1"));
}

TEST_F(OperationCommandsTest, WaitFailsAsTheOperationDid) {
  server_.FailAtEnd("Wait", Status(Code::kDataLoss, "blob 4f"), {"op1", ""});
  const Outcome outcome = RunCtl({"wait", "op1"});
  EXPECT_EQ(outcome.exit_code, 6);
  EXPECT_THAT(outcome.err, HasSubstr("cryopodctl: wait op1: blob 4f"));
  EXPECT_THAT(outcome.err, HasSubstr("cryopodctl: operation op1\n"));

  server_.FailAtEnd("Wait", Status(Code::kCancelled, "the operation was cancelled"));
  EXPECT_EQ(RunCtl({"wait", "op1"}).exit_code, 12);
}

TEST_F(OperationCommandsTest, CancelWaitsForTheEndAndSaysSo) {
  server_.FailAtEnd("Wait", Status(Code::kCancelled, "the operation was cancelled"), {"op1", ""});

  const Outcome text = RunCtl({"cancel", "op1"});

  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out, "cancelled op1\n");
  EXPECT_EQ(RunCtl({"cancel", "op1", "--output", "json"}).out, "{\"cancelled\":\"op1\"}\n");
  EXPECT_THAT(server_.calls(), ElementsAre("Cancel op1", "Wait op1", "Cancel op1", "Wait op1"));
}

TEST_F(OperationCommandsTest, CancelThatCameTooLateTellsHowItEnded) {
  EXPECT_THAT(RunCtl({"cancel", "op1"}).out, HasSubstr("archive  web1\n"));

  server_.FailAtEnd("Wait", Status(Code::kResourceExhausted, "disk full"));
  EXPECT_EQ(RunCtl({"cancel", "op1"}).exit_code, 8);
}

TEST_F(OperationCommandsTest, CancelOfWhatHasEndedIsRefusedAndWaitsForNothing) {
  server_.FailNext("Cancel op1", Code::kFailedPrecondition, "operation op1 has ended already");

  const Outcome outcome = RunCtl({"cancel", "op1"});

  EXPECT_EQ(outcome.exit_code, 5);
  EXPECT_THAT(outcome.err, HasSubstr("cancel op1: operation op1 has ended already"));
  EXPECT_THAT(server_.calls(), ElementsAre("Cancel op1"));
}

TEST_F(OperationCommandsTest, LogsArePrintedUnderTheirNames) {
  server_.AddLog("app.dump.log", "one\n");
  server_.AddLog("db\x1b[2J.dump.log", "two\x1b[2J\n");

  const std::string out = RunCtl({"logs", "op1"}).out;

  EXPECT_EQ(out, "==> app.dump.log <==\none\n==> db?[2J.dump.log <==\ntwo?[2J\n");
  EXPECT_EQ(RunCtl({"logs", "op1", "--output", "json"}).out, out);
  server_.FailNext("Logs op2", Code::kNotFound, "operation op2 has no logs");
  EXPECT_THAT(RunCtl({"logs", "op2"}).err, HasSubstr("logs op2: operation op2 has no logs"));
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
  const nlohmann::json answer = JsonOf({"list", "--all"});
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
