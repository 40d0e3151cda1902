#include <nlohmann/json.hpp>

#include "agent/daemon/pods/restore_pod.h"
#include "agent/jobs/pod_journal.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

// A runtime whose wrapper restores: just before a container is started, its consumed record is
// written and it gets the PID of a process that runs, ours.
class RestorePodTest : public test::AgentFixture {
 protected:
  void SetUp() override {
    ASSERT_THAT(test::MakeSampleArchive(config_.store_root(), "a", {"app", "sidecar"}), IsOk());
    options_.archive = "a";
    options_.request_json = Request("u-new");
  }
  std::string Request(const std::string& uid) const {
    json containers = json::array();
    for (const char* name : {"app", "sidecar"}) {
      containers.push_back(json::parse(test::SampleContainerConfig(name)));
    }
    return json{{"config",
                 {{"metadata", {{"name", "web"}, {"namespace", "shop"}, {"uid", uid}}},
                  {"log_directory", LogDirectory()}}},
                {"container_configs", containers}}
        .dump();
  }
  std::string LogDirectory() const { return temp_.path() / "logs" / "pod"; }

  std::string Annotation(const std::string& sandbox_id, const char* name) const {
    const json config = json::parse(server_.sandbox_config(sandbox_id));
    return config["annotations"].value(name, "");
  }
  void PlayWrapper(const std::string& name) {
    const std::string sandbox = server_.sandbox_ids().at(0);
    wrapper::ConsumedRecord record;
    record.restore_from = Annotation(sandbox, wrapper::kRestoreFromAnnotation);
    record.restore_operation =
        operation_.empty() ? Annotation(sandbox, wrapper::kRestoreOperationAnnotation) : operation_;
    ASSERT_THAT(wrapper::WriteConsumed(config_.state_dir, "u-new", name, record), IsOk());
    for (const std::string& id : server_.container_ids()) {
      const json config = json::parse(server_.container_config(id));
      server_.SetVerboseInfo(id, json{{"pid", ::getpid()}, {"config", config}}.dump());
    }
  }
  Result<RestoreReport> Restore() {
    return RestorePod({config_, runtime_, table_}, options_,
                      [this](const std::string& stage, const std::string& container) {
                        if (before_stage_) before_stage_(stage);
                        stages_.push_back(container.empty() ? stage : stage + " " + container);
                        if (stage == "restore" && wrapper_restores_) PlayWrapper(container);
                      });
  }

  RestoreOptions options_;
  OperationTable table_;
  std::function<void(const std::string& stage)> before_stage_;
  bool wrapper_restores_ = true;
  std::string operation_;  // that the wrapper claims; empty: the one it was told
  std::vector<std::string> stages_;
};

TEST_F(RestorePodTest, MakesAPodThatAsksForTheRestoreAndProvesIt) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RestoreReport report, Restore());

  ASSERT_THAT(server_.sandbox_ids(), ElementsAre(report.sandbox_id));
  EXPECT_THAT(Annotation(report.sandbox_id, wrapper::kRestoreFromAnnotation),
              StartsWith("a@sha256:"));
  EXPECT_FALSE(Annotation(report.sandbox_id, wrapper::kRestoreOperationAnnotation).empty());
  ASSERT_THAT(report.containers, SizeIs(2));
  EXPECT_EQ(report.containers[0].name, "app");
  EXPECT_EQ(report.containers[1].name, "sidecar");
  EXPECT_EQ(report.containers[0].pid, ::getpid());
  EXPECT_EQ(server_.container_state(report.containers[1].id), cri::ContainerState::kRunning);
  EXPECT_THAT(stages_, ElementsAre("open", "sandbox", "create app", "create sidecar", "restore app",
                                   "restore sidecar", "verify"));
  EXPECT_THAT(report.phases, SizeIs(6));
  EXPECT_TRUE(std::filesystem::is_directory(LogDirectory())) << "as the kubelet would";
}

TEST_F(RestorePodTest, ThePodStandsInTheJournalBeforeItsSandboxIsMadeAndNoLongerAtTheEnd) {
  before_stage_ = [&](const std::string& stage) {
    const std::vector<std::string> jobs =
        jobs::ListJobs(config_.jobs_dir(), jobs::kPodJobPrefix).value();
    ASSERT_THAT(jobs, SizeIs(stage == "open" ? 0 : 1)) << stage;
    if (jobs.empty()) return;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const jobs::RestoreJournal journal,
                                 jobs::ReadRestoreJournal(config_, jobs[0]));
    EXPECT_EQ(journal.pod_uid, "u-new");
    EXPECT_THAT(journal.containers, ElementsAre("app", "sidecar"));
    EXPECT_EQ(journal.sandbox_id.empty(), stage == "sandbox") << stage;
    ASSERT_THAT(table_.List(), SizeIs(1));
    EXPECT_EQ(table_.List()[0]->stage(), stage);
    EXPECT_EQ(table_.List()[0]->id(), jobs[0]);
  };

  EXPECT_THAT(Restore(), IsOk());

  EXPECT_THAT(jobs::ListJobs(config_.jobs_dir(), jobs::kPodJobPrefix).value(), IsEmpty());
  EXPECT_THAT(table_.List(), IsEmpty());
}

TEST_F(RestorePodTest, WhatCannotBeRolledBackStaysInTheJournal) {
  server_.FailNext("StartContainer", Code::kUnknown, "no");
  server_.FailNext("StopPodSandbox", Code::kUnavailable, "no runtime");

  EXPECT_FALSE(Restore().ok());

  const std::vector<std::string> jobs =
      jobs::ListJobs(config_.jobs_dir(), jobs::kPodJobPrefix).value();
  ASSERT_THAT(jobs, SizeIs(1));
  EXPECT_EQ(jobs::ReadRestoreJournal(config_, jobs[0])->sandbox_id, server_.sandbox_ids().at(0));
}

TEST_F(RestorePodTest, APodOnWhichAnotherOperationRunsIsNotRestored) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> other,
                               table_.Begin(OperationKind::kCheckpoint, "shop/web", "u-new"));

  EXPECT_THAT(Restore(), StatusIs(Code::kAborted, HasSubstr(other->id())));

  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(jobs::ListJobs(config_.jobs_dir(), jobs::kPodJobPrefix).value(), IsEmpty());
}

TEST_F(RestorePodTest, APodThatRunsAndWasNotRestoredIsRemovedAgain) {
  wrapper_restores_ = false;

  EXPECT_THAT(Restore(), StatusIs(Code::kInternal,
                                  AllOf(HasSubstr("container app"), HasSubstr("was not restored"),
                                        HasSubstr("shop/web"))));

  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(server_.calls(), Contains(StartsWith("StopPodSandbox")));
}

TEST_F(RestorePodTest, ARecordOfAnEarlierRestoreOfThisUidIsNoProof) {
  operation_ = "an-earlier-operation";

  EXPECT_THAT(Restore(), StatusIs(Code::kInternal, HasSubstr("container app")));

  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(RestorePodTest, AContainerThatCannotBeStartedTakesThePodWithIt) {
  server_.FailNext("StartContainer", Code::kUnknown, "cryopod: archive a is damaged");

  EXPECT_THAT(Restore(), StatusIs(Code::kUnknown, AllOf(HasSubstr("restoring container app"),
                                                        HasSubstr("is damaged"))));

  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(server_.container_ids(), IsEmpty());
}

TEST_F(RestorePodTest, ASandboxThatCannotBeMadeLeavesNothingToRemove) {
  server_.FailNext("RunPodSandbox", Code::kUnknown, "no network");

  EXPECT_THAT(Restore(), StatusIs(Code::kUnknown, HasSubstr("no network")));

  EXPECT_THAT(server_.calls(), ::testing::Not(Contains(StartsWith("StopPodSandbox"))));
}

TEST_F(RestorePodTest, NothingIsMadeForAnArchiveThatIsAbsentOrAnother) {
  options_.archive = "absent";
  EXPECT_THAT(Restore(), StatusIs(Code::kNotFound, HasSubstr("absent")));
  options_.archive = "a@sha256:" + std::string(64, '0');
  EXPECT_THAT(Restore(), StatusIs(Code::kFailedPrecondition));
  options_.archive = "not a name";
  EXPECT_THAT(Restore(), StatusIs(Code::kInvalidArgument));

  EXPECT_THAT(server_.calls(), IsEmpty());
}

TEST_F(RestorePodTest, ARequestThatDoesNotFitTheArchiveMakesNothing) {
  options_.request_json = "{}";

  EXPECT_THAT(Restore(), StatusIs(Code::kInvalidArgument));

  EXPECT_THAT(server_.calls(), IsEmpty());
}

}  // namespace
}  // namespace cryopod::daemon
