#include "agent/daemon/pods/half_made_pods.h"

#include <nlohmann/json.hpp>

#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// What an agent leaves that was killed in the middle of RestorePod.
class HalfMadePodsTest : public test::AgentFixture {
 protected:
  HalfMadePodsTest() {
    journal_.operation_id = "p-1";
    journal_.restore_operation = "ours";
    journal_.archive = "a";
    journal_.pod_uid = "u-1";
    journal_.pod_namespace = "shop";
    journal_.pod_name = "web";
    journal_.containers = {"app", "sidecar"};
  }
  std::string AddSandbox(const std::string& restore_operation) {
    return server_.AddPod(
        json{{"metadata", {{"name", "web"}, {"namespace", "shop"}, {"uid", "u-1"}}},
             {"annotations",
              {{wrapper::kRestoreFromAnnotation, "a"},
               {wrapper::kRestoreOperationAnnotation, restore_operation}}}}
            .dump(),
        "cryopod");
  }
  std::string AddContainer(const std::string& sandbox, const std::string& name) {
    return server_.AddContainer(sandbox, test::SampleContainerConfig(name), 4711);
  }
  void Consume(const std::string& name, const std::string& restore_operation = "ours") {
    ASSERT_THAT(
        wrapper::WriteConsumed(config_.state_dir, "u-1", name, {"a", restore_operation, "r-1", ""}),
        IsOk());
  }
  void LeaveJournal() {
    ASSERT_THAT(jobs::BeginPodJournal(config_.jobs_dir(), journal_), IsOk());
    if (!journal_.sandbox_id.empty()) {
      ASSERT_THAT(jobs::RecordSandbox(config_.jobs_dir(), journal_), IsOk());
    }
  }
  void Settle() { half_made_.Settle({"p-1"}); }
  bool IsSettled() const {
    return Eventually([this] { return Jobs().empty() && operations_.ListRunning().empty(); });
  }
  Status OutcomeOfRestore() const {
    const Result<std::shared_ptr<Operation>> ended = operations_.Find("p-1");
    return ended.ok() ? OutcomeOf(**ended).status : ended.status();
  }

  jobs::PodJournal journal_;
  HalfMadePods half_made_{config_, runtime_, operations_};
};

TEST_F(HalfMadePodsTest, APodWithoutAllContainersIsStoppedAndRemoved) {
  WatchEnds();
  journal_.sandbox_id = AddSandbox("ours");
  AddContainer(journal_.sandbox_id, "app");
  Consume("app");
  LeaveJournal();

  Settle();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(server_.container_ids(), IsEmpty());
  EXPECT_THAT(Ends(), ElementsAre("p-1.json", "p-1"));
  EXPECT_THAT(OutcomeOfRestore(), StatusIs(Code::kAborted, HasSubstr("is removed")));
  EXPECT_EQ(OutcomeOfRestore().reason(), Reason::kProcessDied);
}

TEST_F(HalfMadePodsTest, ASandboxThatTheRuntimeHadNotToldYetIsFoundByItsAnnotation) {
  AddSandbox("ours");
  LeaveJournal();

  Settle();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(HalfMadePodsTest, ASandboxThatTurnsUpLaterIsRemovedToo) {
  LeaveJournal();
  Settle();
  ASSERT_TRUE(Eventually([&] { return !server_.calls().empty(); }));

  AddSandbox("ours");

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(HalfMadePodsTest, WhereNothingWasMadeTheJournalIsForgotten) {
  LeaveJournal();

  Settle();
  EXPECT_THAT(operations_.ListRunning(), SizeIs(1)) << "the pod's UID is taken until then";

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.calls(), Not(Contains(StartsWith("StopPodSandbox"))));
}

TEST_F(HalfMadePodsTest, APodThatWasWhollyRestoredIsKept) {
  journal_.sandbox_id = AddSandbox("ours");
  for (const char* name : {"app", "sidecar"}) {
    AddContainer(journal_.sandbox_id, name);
    Consume(name);
  }
  LeaveJournal();

  Settle();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), ElementsAre(journal_.sandbox_id));
  EXPECT_THAT(OutcomeOfRestore(), IsOk());
  EXPECT_THAT(server_.calls(), Not(Contains(StartsWith("StopPodSandbox"))));
}

TEST_F(HalfMadePodsTest, APodWhoseRestoreIsRememberedAsDoneIsNoLongerOurs) {
  journal_.sandbox_id = AddSandbox("ours");
  LeaveJournal();
  OperationFacts facts;
  facts.id = "p-1";
  facts.kind = jobs::JobKind::kPod;
  facts.pod = "shop/web";
  facts.archive = "a";
  operations_.Finish(operations_.Begin(facts)->operation, {});

  Settle();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), ElementsAre(journal_.sandbox_id));
  EXPECT_THAT(server_.calls(), IsEmpty());
}

TEST_F(HalfMadePodsTest, APodOfWhichAContainerHasEndedIsNotWhole) {
  journal_.sandbox_id = AddSandbox("ours");
  for (const char* name : {"app", "sidecar"}) {
    const std::string id = AddContainer(journal_.sandbox_id, name);
    if (std::string(name) == "app") {
      server_.SetContainerState(id, cri::ContainerState::kExited);
    }
    Consume(name);
  }
  LeaveJournal();

  Settle();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(HalfMadePodsTest, RecordsOfAnEarlierRestoreDoNotMakeItWhole) {
  journal_.sandbox_id = AddSandbox("ours");
  for (const char* name : {"app", "sidecar"}) {
    AddContainer(journal_.sandbox_id, name);
    Consume(name, "an-earlier-one");
  }
  LeaveJournal();

  Settle();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(HalfMadePodsTest, APodOfAnotherRestoreIsNotTouchedThoughItsNameAndUidAreTheSame) {
  const std::string other = AddSandbox("another");
  const std::string plain = AddPod("u-1", "web");
  journal_.sandbox_id = "gone";
  LeaveJournal();

  Settle();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), ::testing::UnorderedElementsAre(other, plain));
}

TEST_F(HalfMadePodsTest, ARuntimeThatFailsIsAskedAgain) {
  journal_.sandbox_id = AddSandbox("ours");
  LeaveJournal();
  server_.FailNext("ListPodSandbox", Code::kUnavailable, "starting");
  server_.FailNext("StopPodSandbox", Code::kUnknown, "ttrpc: closed");

  Settle();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(HalfMadePodsTest, AJournalThatIsNotUnderstoodIsLeftAlone) {
  journal_.sandbox_id = AddSandbox("ours");
  LeaveJournal();
  for (const char* name : {jobs::kJournalFile, jobs::kRequestFile}) {
    cryopod::test::WriteText(JobDir("p-1") + "/" + name, "{}");

    Settle();

    EXPECT_THAT(operations_.ListForeign(), Contains(Field(&ForeignJob::why, HasSubstr(name))));
  }
  EXPECT_THAT(Jobs(), ElementsAre("p-1"));
  EXPECT_THAT(operations_.ListRunning(), IsEmpty());
  EXPECT_THAT(server_.calls(), IsEmpty());
}

TEST_F(HalfMadePodsTest, AnAgentThatEndsLeavesTheRestToTheNextOne) {
  LeaveJournal();
  {
    OperationRegister earlier(config_.state_dir);
    HalfMadePods ends(config_, runtime_, earlier);
    ends.Settle({"p-1"});
  }
  ASSERT_THAT(Jobs(), SizeIs(1)) << "it was too early to say";

  Settle();

  EXPECT_TRUE(IsSettled());
}

}  // namespace
}  // namespace cryopod::daemon
