#include "agent/daemon/pods/pod_restores.h"

#include <sys/socket.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/jobs/pod_journal.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"
#include "restore/runtime/protocol/once_record.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::SampleRecord;
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
class PodRestoresTest : public test::AgentFixture {
 protected:
  void SetUp() override {
    ASSERT_THAT(test::MakeSampleArchive(config_.store_root(), "a", {"app", "sidecar"}), IsOk());
    options_.archive = "a";
    options_.request_json = Request("u-new");
    server_.BeforeEach("StartContainer", [this](const std::string& id) { PlayWrapper(id); });
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
  void PlayWrapper(const std::string& id) {
    const std::string sandbox = server_.sandbox_ids().at(0);
    const json config = json::parse(server_.container_config(id));
    wrapper::ConsumedRecord record =
        SampleRecord(Annotation(sandbox, wrapper::kRestoreFromAnnotation), {},
                     operation_.empty() ? Annotation(sandbox, wrapper::kRestoreOperationAnnotation)
                                        : operation_);
    record.restored[config["metadata"]["name"]] = remark_;
    EXPECT_THAT(wrapper::AddConsumed(config_.state_dir, "u-new", std::move(record)), IsOk());
    server_.SetVerboseInfo(id, json{{"pid", ::getpid()}, {"config", config}}.dump());
  }
  Result<RestoreReport> Restore() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::shared_ptr<Operation> operation, pods_.Start(options_));
    Outcome outcome = OutcomeOf(*operation);
    stages_ = StagesOf(*operation);
    if (!outcome.status.ok()) return outcome.status;
    return std::move(outcome.restore);
  }

  api::RestoreRequest options_;
  RestoreOperations restores_{agent_};
  PodRestores pods_{agent_, restores_};
  std::string remark_;     // of what the wrapper restores
  std::string operation_;  // that the wrapper claims; empty: the one it was told
  std::vector<std::string> stages_;
};

TEST_F(PodRestoresTest, MakesAPodThatAsksForTheRestoreAndProvesIt) {
  options_.operation_id = OwnId();
  WatchEnds();

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
  EXPECT_THAT(stages_, ElementsAre("sandbox", "create app", "create sidecar", "restore app",
                                   "restore sidecar", "verify"));
  EXPECT_THAT(report.phases, SizeIs(6));
  EXPECT_TRUE(std::filesystem::is_directory(LogDirectory())) << "as the kubelet would";
  EXPECT_THAT(Ends(), ElementsAre(OwnId() + ".json", OwnId()));
}

TEST_F(PodRestoresTest, NeverStartsColdWhateverTheRequestsAnnotationsAllow) {
  json request = json::parse(options_.request_json);
  request["config"]["annotations"] = {{wrapper::kOnFailureAnnotation, "cold-start"},
                                      {wrapper::kDifferencesAnnotation, "image"}};
  options_.request_json = request.dump();

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RestoreReport report, Restore());

  EXPECT_EQ(Annotation(report.sandbox_id, wrapper::kOnFailureAnnotation), "fail");
  EXPECT_EQ(Annotation(report.sandbox_id, wrapper::kDifferencesAnnotation), "image");
}

TEST_F(PodRestoresTest, WhatMayDifferStandsInThePodsAnnotationOrIsRefusedBeforeAnythingIsMade) {
  options_.differences = "imgae";
  EXPECT_THAT(Restore(), StatusIs(Code::kInvalidArgument, HasSubstr("imgae")));
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());

  options_.differences = "image,command";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RestoreReport report, Restore());

  EXPECT_EQ(Annotation(report.sandbox_id, wrapper::kDifferencesAnnotation), "image,command");
}

TEST_F(PodRestoresTest, AnswersInWhatTheRequestDiffersFromTheArchive) {
  remark_ = "another environment";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RestoreReport report, Restore());

  EXPECT_THAT(report.warnings, ElementsAre("container app: another environment",
                                           "container sidecar: another environment"));
}

TEST_F(PodRestoresTest, AnArchiveThatIsRestoredOnceIsRefusedBeforeAnythingIsMade) {
  options_.operation_id = OwnId();
  ASSERT_THAT(Restore(), IsOk());
  const std::string digest =
      archive::ArchiveStore::Open(config_.store_root())->OpenArchive({"a", ""})->digest();
  ASSERT_THAT(wrapper::ClaimOnce(config_.state_dir, digest,
                                 {"a", "u-new", "shop", "web", "a", "op", "p-1", ""}),
              IsOk());
  const size_t sandboxes = server_.sandbox_ids().size();

  EXPECT_THAT(Restore(), IsOk()) << "the same operation is found, not begun again";
  options_.operation_id.clear();
  const Status refused = Restore().status();

  EXPECT_THAT(refused, StatusIs(Code::kFailedPrecondition, HasSubstr("AlreadyRestored")));
  EXPECT_EQ(refused.reason(), Reason::kAlreadyRestored);
  EXPECT_EQ(server_.sandbox_ids().size(), sandboxes);
  EXPECT_THAT(operations_.ListRunning(), IsEmpty());
}

TEST_F(PodRestoresTest, ThePodStandsInTheJournalBeforeItsSandboxIsMadeAndNoLongerAtTheEnd) {
  const auto expect_journal = [this](const std::string& stage) {
    ASSERT_THAT(Jobs(), SizeIs(1)) << stage;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const jobs::PodJournal journal,
                                 jobs::ReadPodJournal(config_.jobs_dir(), Jobs()[0]));
    EXPECT_EQ(journal.pod_uid, "u-new");
    EXPECT_THAT(journal.containers, ElementsAre("app", "sidecar"));
    EXPECT_EQ(journal.sandbox_id.empty(), stage == "sandbox") << stage;
    ASSERT_THAT(operations_.ListRunning(), SizeIs(1));
    EXPECT_EQ(operations_.ListRunning()[0]->progress().stage, stage);
    EXPECT_EQ(operations_.ListRunning()[0]->id(), Jobs()[0]);
  };
  server_.BeforeEach("RunPodSandbox", [&](const std::string&) { expect_journal("sandbox"); });
  server_.BeforeEach("CreateContainer", [&](const std::string&) { expect_journal("create"); });
  server_.BeforeEach("StartContainer", [&](const std::string& id) {
    expect_journal("restore");
    PlayWrapper(id);
  });

  EXPECT_THAT(Restore(), IsOk());

  EXPECT_THAT(Jobs(), IsEmpty());
  EXPECT_THAT(operations_.ListRunning(), IsEmpty());
}

TEST_F(PodRestoresTest, ARetryFindsTheFirstAndMakesNoSecondPod) {
  options_.operation_id = OwnId();
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RestoreReport first, Restore());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RestoreReport again, Restore());

  EXPECT_EQ(again.sandbox_id, first.sandbox_id);
  EXPECT_THAT(server_.sandbox_ids(), SizeIs(1));
  ASSERT_THAT(operations_.ListEnded(), SizeIs(1));
  EXPECT_EQ(operations_.ListEnded()[0]->facts().kind, jobs::JobKind::kPod);
}

TEST_F(PodRestoresTest, WhatACancelledRestoreHasMadeIsRemoved) {
  for (const char* call : {"RunPodSandbox", "CreateContainer", "StartContainer"}) {
    server_.BeforeEach(call, [this](const std::string&) {
      EXPECT_THAT(operations_.ListRunning().at(0)->Cancel(), IsOk());
    });

    EXPECT_THAT(Restore(), StatusIs(Code::kCancelled, HasSubstr("restoring pod shop/web"))) << call;

    EXPECT_THAT(server_.sandbox_ids(), IsEmpty()) << call;
    EXPECT_THAT(server_.container_ids(), IsEmpty()) << call;
    EXPECT_THAT(Jobs(), IsEmpty()) << call;
    server_.BeforeEach(call, nullptr);
  }
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("reason=\"cancelled\"} 3"));
}

TEST_F(PodRestoresTest, TheProcessThatWorksForACancelledRestoreIsEnded) {
  if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
  server_.BeforeEach("StartContainer", [this](const std::string&) {
    wrapper::Request request;
    request.kind = wrapper::Request::Kind::kSandbox;
    request.pod_uid = "u-new";
    request.pod_namespace = "shop";
    request.restore_from = "a";
    const std::shared_ptr<Operation> pod = operations_.ListRunning().at(0);
    request.restore_operation = pod->facts().restore_operation;
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd wrapper_end(ends[0]);
    restores_.Serve(UniqueFd(ends[1]), wrapper::Serialize(request));
    ASSERT_THAT(operations_.ListRunning(), ElementsAre(pod)) << "it is a part of this one";
    const std::vector<std::string> ids = Jobs();
    const auto restore =
        std::find_if(ids.begin(), ids.end(), [&](const auto& id) { return id != pod->id(); });
    ASSERT_NE(restore, ids.end());
    const UniqueFd pidfd = OpenPidfd(JobPid(*restore)).value();

    EXPECT_THAT(pod->Cancel(), IsOk());

    EXPECT_TRUE(PidfdEnded(pidfd.get(), Soon()));
  });

  EXPECT_THAT(Restore(), StatusIs(Code::kCancelled));
}

TEST_F(PodRestoresTest, WhatCannotBeRolledBackStaysInTheJournal) {
  server_.FailNext("StartContainer", Code::kUnknown, "no");
  server_.FailNext("StopPodSandbox", Code::kUnavailable, "no runtime");

  EXPECT_FALSE(Restore().ok());

  ASSERT_THAT(Jobs(), SizeIs(1));
  EXPECT_EQ(jobs::ReadPodJournal(config_.jobs_dir(), Jobs()[0])->sandbox_id,
            server_.sandbox_ids().at(0));
}

TEST_F(PodRestoresTest, APodOnWhichAnotherOperationRunsIsNotRestored) {
  OperationFacts other;
  other.id = "c-1";
  other.pod_key = "u-new";
  ASSERT_THAT(operations_.Begin(other), IsOk());

  EXPECT_THAT(Restore(), StatusIs(Code::kAborted, HasSubstr("c-1")));

  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(PodRestoresTest, APodThatRunsAndWasNotRestoredByThisOperationIsRemovedAgain) {
  operation_ = "an-earlier-operation";
  const auto refuses = StatusIs(
      Code::kInternal,
      AllOf(HasSubstr("container app"), HasSubstr("was not restored"), HasSubstr("shop/web")));
  EXPECT_THAT(Restore(), refuses) << "a record of an earlier one of this UID is no proof";
  server_.BeforeEach("StartContainer", nullptr);
  std::filesystem::remove_all(config_.state_dir + "/consumed");
  EXPECT_THAT(Restore(), refuses);

  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(server_.calls(), Contains(StartsWith("StopPodSandbox")));
}

TEST_F(PodRestoresTest, AContainerThatCannotBeStartedTakesThePodWithIt) {
  server_.FailNext("StartContainer", Code::kUnknown, "cryopod: archive a is damaged");

  EXPECT_THAT(Restore(), StatusIs(Code::kUnknown, AllOf(HasSubstr("restoring container app"),
                                                        HasSubstr("is damaged"))));

  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(server_.container_ids(), IsEmpty());
}

TEST_F(PodRestoresTest, ASandboxThatCannotBeMadeLeavesNothingToRemove) {
  server_.FailNext("RunPodSandbox", Code::kUnknown, "no network");

  EXPECT_THAT(Restore(), StatusIs(Code::kUnknown, HasSubstr("no network")));

  EXPECT_THAT(server_.calls(), ::testing::Not(Contains(StartsWith("StopPodSandbox"))));
}

TEST_F(PodRestoresTest, ASandboxThatTurnsUpAfterItsCallWasGivenUpIsRemoved) {
  server_.FailNext("RunPodSandbox", Code::kDeadlineExceeded, "context deadline exceeded");
  bool is_there = false;
  server_.BeforeEach("ListPodSandbox", [&](const std::string&) {
    if (std::exchange(is_there, true)) return;
    const auto journal = jobs::ReadPodJournal(config_.jobs_dir(), Jobs().at(0));
    server_.AddPod(
        json{{"metadata", {{"name", "web"}, {"namespace", "shop"}, {"uid", "u-new"}}},
             {"annotations", {{wrapper::kRestoreOperationAnnotation, journal->restore_operation}}}}
            .dump());
  });

  EXPECT_THAT(Restore(), StatusIs(Code::kDeadlineExceeded));

  EXPECT_TRUE(is_there);
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(PodRestoresTest, NothingIsMadeForAnArchiveThatIsAbsentOrAnotherOrThatTheRequestDoesNotFit) {
  for (const auto& [archive, code] : std::vector<std::pair<std::string, Code>>{
           {"absent", Code::kNotFound},
           {"a@sha256:" + std::string(64, '0'), Code::kFailedPrecondition},
           {"not a name", Code::kInvalidArgument}}) {
    options_.archive = archive;
    EXPECT_THAT(Restore(), StatusIs(code)) << archive;
  }
  options_.archive = "a";
  options_.request_json = "{}";
  EXPECT_THAT(Restore(), StatusIs(Code::kInvalidArgument));

  EXPECT_THAT(server_.calls(), IsEmpty());
}

}  // namespace
}  // namespace cryopod::daemon
