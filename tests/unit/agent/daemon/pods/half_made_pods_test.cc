#include "agent/daemon/pods/half_made_pods.h"

#include <nlohmann/json.hpp>

#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::SampleRecord;
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
  // A container of the journal's sandbox, restored by this operation.
  std::string AddContainer(const std::string& name, const std::string& restore_operation = "ours") {
    EXPECT_THAT(wrapper::AddConsumed(config_.state_dir, "u-1",
                                     SampleRecord("a", {name}, restore_operation)),
                IsOk());
    return server_.AddContainer(journal_.sandbox_id, test::SampleContainerConfig(name), 4711);
  }
  void LeaveJournal() {
    ASSERT_THAT(jobs::BeginPodJournal(config_.jobs_dir(), journal_), IsOk());
    if (!journal_.sandbox_id.empty()) {
      ASSERT_THAT(jobs::RecordSandbox(config_.jobs_dir(), journal_), IsOk());
    }
  }
  void Settle() {
    settling_ = SettleHalfMadePods(agent_, {"p-1"}, [this](const std::string& restore_operation) {
      ended_restores_.push_back(restore_operation);
    });
  }
  void LeaveJournalAndSettle() {
    LeaveJournal();
    Settle();
    EXPECT_TRUE(IsSettled());
  }
  // What the journal knows of is removed, and whatever else carries its annotation.
  void ExpectRemoval() {
    LeaveJournalAndSettle();
    EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
    EXPECT_THAT(server_.container_ids(), IsEmpty());
  }
  bool IsSettled() const {
    return Eventually([this] { return Jobs().empty() && operations_.ListRunning().empty(); });
  }
  Status OutcomeOfRestore() const {
    const Result<std::shared_ptr<Operation>> ended = operations_.Find("p-1");
    return ended.ok() ? OutcomeOf(**ended).status : ended.status();
  }

  jobs::PodJournal journal_;
  std::vector<std::string> ended_restores_;
  std::jthread settling_;
};

TEST_F(HalfMadePodsTest, APodWithoutAllContainersIsStoppedAndRemoved) {
  WatchEnds();
  journal_.sandbox_id = AddSandbox("ours");
  AddContainer("app");

  ExpectRemoval();

  EXPECT_THAT(Ends(), ElementsAre("p-1.json", "p-1"));
  EXPECT_THAT(OutcomeOfRestore(), StatusIs(Code::kAborted, HasSubstr("is removed")));
  EXPECT_THAT(ended_restores_, ElementsAre("ours"));
  EXPECT_EQ(OutcomeOfRestore().reason(), Reason::kProcessDied);
}

TEST_F(HalfMadePodsTest, ASandboxThatTheRuntimeHadNotToldYetIsFoundByItsAnnotation) {
  AddSandbox("ours");

  ExpectRemoval();
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
  for (const char* name : {"app", "sidecar"}) AddContainer(name);

  LeaveJournalAndSettle();

  EXPECT_THAT(server_.sandbox_ids(), ElementsAre(journal_.sandbox_id));
  EXPECT_THAT(OutcomeOfRestore(), IsOk());
  EXPECT_THAT(server_.calls(), Not(Contains(StartsWith("StopPodSandbox"))));
}

TEST_F(HalfMadePodsTest, AContainerThatHadFinishedMayHaveEndedAgain) {
  journal_.sandbox_id = AddSandbox("ours");
  for (const char* name : {"app", "sidecar"}) AddContainer(name);
  wrapper::ConsumedRecord record = SampleRecord("a", {}, "ours");
  record.replaced = {"setup"};
  ASSERT_THAT(wrapper::AddConsumed(config_.state_dir, "u-1", std::move(record)), IsOk());
  const std::string setup =
      server_.AddContainer(journal_.sandbox_id, test::SampleContainerConfig("setup"), 4711);
  ASSERT_THAT(runtime_.StopContainer(setup, 0, Soon()), IsOk());
  journal_.containers = {"setup", "app", "sidecar"};

  LeaveJournalAndSettle();

  EXPECT_THAT(server_.sandbox_ids(), ElementsAre(journal_.sandbox_id));
  EXPECT_THAT(OutcomeOfRestore(), IsOk());
}

TEST_F(HalfMadePodsTest, APodOfWhichAContainerIsStillToBeRestoredIsRemoved) {
  journal_.sandbox_id = AddSandbox("ours");
  AddContainer("app");
  server_.AddContainer(journal_.sandbox_id, test::SampleContainerConfig("sidecar"), 4711);

  ExpectRemoval();
}

TEST_F(HalfMadePodsTest, APodWhoseRestoreIsRememberedAsDoneIsNoLongerOurs) {
  journal_.sandbox_id = AddSandbox("ours");
  operations_.Finish(operations_.Begin(FactsOf(journal_))->operation, {});

  LeaveJournalAndSettle();

  EXPECT_THAT(server_.sandbox_ids(), ElementsAre(journal_.sandbox_id));
  EXPECT_THAT(server_.calls(), IsEmpty());
}

TEST_F(HalfMadePodsTest, APodOfWhichAContainerHasEndedIsNotWhole) {
  journal_.sandbox_id = AddSandbox("ours");
  server_.SetContainerState(AddContainer("app"), cri::ContainerState::kExited);
  AddContainer("sidecar");

  ExpectRemoval();
}

TEST_F(HalfMadePodsTest, RecordsOfAnEarlierRestoreDoNotMakeItWhole) {
  journal_.sandbox_id = AddSandbox("ours");
  for (const char* name : {"app", "sidecar"}) AddContainer(name, "an-earlier-one");

  ExpectRemoval();
}

TEST_F(HalfMadePodsTest, APodOfAnotherRestoreIsNotTouchedThoughItsNameAndUidAreTheSame) {
  const std::string other = AddSandbox("another");
  const std::string plain = AddPod("u-1", "web");
  journal_.sandbox_id = "gone";

  LeaveJournalAndSettle();

  EXPECT_THAT(server_.sandbox_ids(), ::testing::UnorderedElementsAre(other, plain));
}

TEST_F(HalfMadePodsTest, ARuntimeThatFailsIsAskedAgain) {
  journal_.sandbox_id = AddSandbox("ours");
  server_.FailNext("ListPodSandbox", Code::kUnavailable, "starting");
  server_.FailNext("StopPodSandbox", Code::kUnknown, "ttrpc: closed");

  ExpectRemoval();
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
    SettleHalfMadePods({config_, runtime_, earlier, metrics_}, {"p-1"}, [](const std::string&) {});
  }
  ASSERT_THAT(Jobs(), SizeIs(1)) << "it was too early to say";

  Settle();

  EXPECT_TRUE(IsSettled());
}

}  // namespace
}  // namespace cryopod::daemon
