#include "agent/daemon/sockets/wrapper_socket.h"

#include <atomic>
#include <csignal>

#include "agent/daemon/archives/archive_access.h"
#include "agent/daemon/operations/checkpoint_operations.h"
#include "agent/os/unix_socket.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/once_record.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::SampleRecord;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using wrapper::Answer;
using wrapper::Request;

// The agent's side of the runtime socket, and a wrapper that speaks to it.
class WrapperServerTest : public test::AgentFixture {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
    ASSERT_THAT(test::MakeSampleArchive(config_.store_root(), "a", {"app"}), IsOk());
    const std::string sandbox = server_.AddPod(
        R"({"metadata":{"name":"new","namespace":"shop","uid":"u-new"}})", "cryopod");
    container_ = server_.AddContainer(sandbox, test::SampleContainerConfig("app"), 4711);
    BeginAgent();
  }
  // The next one knows nothing but what is on disk.
  void BeginAgent() {
    wrappers_ = {};
    register_ = std::make_unique<OperationRegister>(config_.state_dir);
    restores_ = std::make_unique<RestoreOperations>(parts());
    for (const std::string& id : Jobs()) restores_->AdoptOrRepair(id);
    Result<std::jthread> served = ServeWrappers(config_, *restores_);
    ASSERT_THAT(served, IsOk());
    wrappers_ = std::move(served).value();
  }
  void WriteReport(const std::string& id, const jobs::Report& report) const {
    ASSERT_THAT(jobs::WriteFileOf(JobDir(id), jobs::kStateFile, report), IsOk());
  }
  AgentParts parts() { return {config_, runtime_, *register_, metrics_}; }
  Request RequestOf(Request::Kind kind, const std::string& archive = "a",
                    const std::string& uid = "u-1") const {
    Request request;
    request.container_id = container_;
    request.kind = kind;
    request.pod_name = "web";
    request.pod_namespace = "shop";
    request.pod_uid = uid;
    request.container_name = kind == Request::Kind::kSandbox ? "" : "app";
    request.restore_from = archive;
    return request;
  }
  Result<Answer> Ask(const Request& request) const {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd socket, ConnectUnix(config_.runtime_socket(), Soon()));
    CRYOPOD_RETURN_IF_ERROR(wrapper::Send(socket.get(), request, Soon()));
    return wrapper::ReceiveAnswer(socket.get(), Soon());
  }
  static auto Passes() { return IsOkAnd(Field(&Answer::decision, Answer::Decision::kPass)); }
  static auto FailsWith(const std::string& part) {
    return IsOkAnd(AllOf(Field(&Answer::decision, Answer::Decision::kFail),
                         Field(&Answer::reason, HasSubstr(part))));
  }
  // Returns the ID of its job.
  std::string BeginRestore(const std::string& uid = "u-1") const {
    EXPECT_THAT(Ask(RequestOf(Request::Kind::kSandbox, "a", uid)),
                FailsWith("from the restore of a"));
    EXPECT_THAT(Jobs(), SizeIs(1));
    return Jobs().at(0);
  }
  // The operation of the one restore that runs.
  std::shared_ptr<Operation> TheRestore() const {
    EXPECT_THAT(register_->ListRunning(), SizeIs(1));
    return register_->ListRunning().at(0);
  }
  // One that does `special` first, as a shell does it, and else what the usual one does.
  void SetRestoreProgram(const std::string& special) const {
    std::filesystem::remove(config_.restore_program());
    std::ofstream(config_.restore_program())
        << "#!/bin/sh\n"
        << special << "\nexec " << CRYOPOD_FAKE_RESTORE << " \"$@\"\n";
    ::chmod(config_.restore_program().c_str(), 0755);
  }

  std::string container_;  // that the runtime tells of
  std::unique_ptr<OperationRegister> register_;
  std::unique_ptr<RestoreOperations> restores_;
  std::jthread wrappers_;
};

TEST_F(WrapperServerTest, TheSocketIsForRootAlone) {
  struct stat status {};
  ASSERT_EQ(::stat(config_.runtime_socket().c_str(), &status), 0);

  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(WrapperServerTest, AConsumedContainerStartsColdWithoutAnyProcess) {
  ASSERT_THAT(wrapper::AddConsumed(config_.state_dir, "u-1", SampleRecord("a", {"app"})), IsOk());

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kCreate)), Passes());

  EXPECT_THAT(Jobs(), SizeIs(0));
}

TEST_F(WrapperServerTest, ARecordOfAnotherArchiveDoesNotCount) {
  ASSERT_THAT(wrapper::AddConsumed(config_.state_dir, "u-1", SampleRecord("other", {"app"})),
              IsOk());

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kCreate)), FailsWith("from the restore of a"));
}

TEST_F(WrapperServerTest, ADamagedRecordFailsInsteadOfStartingCold) {
  std::filesystem::create_directories(config_.state_dir + "/consumed/u-1");
  std::ofstream(config_.state_dir + "/consumed/u-1/.restored") << "\x01 rubbish";

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kCreate)), FailsWith(""));
  EXPECT_THAT(Jobs(), SizeIs(0));
}

TEST_F(WrapperServerTest, AnArchiveThatIsAbsentOrAnotherFailsWithPodAndArchive) {
  for (const std::string& archive :
       {std::string("absent"), std::string("../a"), "a@sha256:" + std::string(64, '0')}) {
    EXPECT_THAT(Ask(RequestOf(Request::Kind::kSandbox, archive)),
                FailsWith("restoring pod shop/web from " + archive));
    EXPECT_THAT(Ask(RequestOf(Request::Kind::kCreate, archive)), FailsWith(archive));
  }
  EXPECT_THAT(Jobs(), SizeIs(0));
}

TEST_F(WrapperServerTest, ACreateReachesTheRestoreWithTheImageThatTheRuntimeTells) {
  Request request = RequestOf(Request::Kind::kCreate);
  request.container_name = "tells";

  EXPECT_THAT(Ask(request), FailsWith("image lab.local/app:1 sha256:feed sha256:f00d"));
}

TEST_F(WrapperServerTest, AContainerWhoseImageNobodyTellsIsNotRestored) {
  Request request = RequestOf(Request::Kind::kCreate);
  request.container_id = "gone";

  const Result<Answer> answer = Ask(request);

  EXPECT_THAT(answer, FailsWith("asking for the image of container app"));
  EXPECT_FALSE(answer->may_start_cold) << "the next try may find it";
  EXPECT_THAT(Jobs(), SizeIs(0));
}

TEST_F(WrapperServerTest, AnArchiveThatIsRestoredOnceIsRefusedToTheSecondPodWithoutAnyProcess) {
  const std::string digest = OpenArchive(config_, "a")->digest();
  ASSERT_THAT(wrapper::ClaimOnce(config_.state_dir, digest,
                                 {"a", "u-0", "shop", "web-0", "a", "", "r-0", ""}),
              IsOk());

  for (const Request::Kind kind :
       {Request::Kind::kSandbox, Request::Kind::kCreate, Request::Kind::kCreate}) {
    EXPECT_THAT(Ask(RequestOf(kind)), FailsWith("AlreadyRestored"));
  }

  EXPECT_THAT(Jobs(), SizeIs(0));
  EXPECT_THAT(metrics_.Serialize(),
              HasSubstr("{operation_type=\"restore_pod\",reason=\"already_restored\"} 3"));
  EXPECT_THAT(Ask(RequestOf(Request::Kind::kSandbox, "a", "u-0")), FailsWith("the restore of a"))
      << "its own pod is none";
}

TEST_F(WrapperServerTest, OnlyWhatIsWrongWithTheArchiveMayStartCold) {
  const Result<Answer> absent = Ask(RequestOf(Request::Kind::kSandbox, "absent"));
  ASSERT_THAT(absent, IsOk());
  EXPECT_TRUE(absent->may_start_cold);
  EXPECT_EQ(absent->reason_code, "not_found");
  std::filesystem::remove(config_.restore_program());

  const Result<Answer> of_ours = Ask(RequestOf(Request::Kind::kSandbox));

  EXPECT_THAT(of_ours, FailsWith("cryopod-restore"));
  EXPECT_FALSE(of_ours->may_start_cold);
}

TEST_F(WrapperServerTest, TheRestoreIsToldThatItIsOneOnceByThePod) {
  Request request = RequestOf(Request::Kind::kSandbox);
  request.restore_once = true;
  (void)Ask(request);

  ASSERT_THAT(Jobs(), SizeIs(1));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const jobs::RestoreJob job,
      jobs::ReadFileOf<jobs::RestoreJob>(JobDir(Jobs()[0]), jobs::kRequestFile));
  EXPECT_TRUE(job.restore_once);
}

TEST_F(WrapperServerTest, AColdStartIsRecordedCountedAndEndsTheRestore) {
  BeginRestore();
  Request cold = RequestOf(Request::Kind::kColdStart);
  cold.failure = "AlreadyRestored: by another";
  cold.failure_reason = "already_restored";

  EXPECT_THAT(Ask(cold), Passes());

  EXPECT_THAT(metrics_.Serialize(),
              HasSubstr("cryopod_pod_cold_starts_total{reason=\"already_restored\"} 1"));
  EXPECT_THAT(Ask(RequestOf(Request::Kind::kCreate)), Passes()) << "from now on";
  EXPECT_TRUE(Eventually([&] { return Jobs().empty(); }));
}

TEST_F(WrapperServerTest, BesideAContainerThatIsHeldNoneStartsCold) {
  jobs::ContainerReport held;
  held.phase = jobs::Phase::kHeld;
  WriteReport(BeginRestore(), {jobs::Stage::kServing, Status(), {held}});

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kColdStart)), FailsWith("half of it"));
}

TEST_F(WrapperServerTest, HalfAPodDoesNotStartCold) {
  ASSERT_THAT(wrapper::AddConsumed(config_.state_dir, "u-1", SampleRecord("a", {"db"})), IsOk());

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kColdStart)), FailsWith("half of it"));

  EXPECT_THAT(metrics_.Serialize(), ::testing::Not(HasSubstr("cold_starts_total{")));
}

TEST_F(WrapperServerTest, ARefusalCountsUnlessACallerOfTheAgentWaitsForIt) {
  (void)Ask(RequestOf(Request::Kind::kSandbox, "absent"));
  Request of_a_caller = RequestOf(Request::Kind::kSandbox, "absent");
  of_a_caller.restore_operation = "op";
  (void)Ask(of_a_caller);
  (void)Ask(RequestOf(Request::Kind::kDeleted, "absent"));

  EXPECT_THAT(metrics_.Serialize(),
              HasSubstr("{operation_type=\"restore_pod\",reason=\"not_found\"} 1"));
}

TEST_F(WrapperServerTest, ARestoreRunsWhileItsProcessDoesAndIsCountedAtItsEnd) {
  (void)Ask(RequestOf(Request::Kind::kSandbox));
  const std::string running = "cryopod_operations_running{operation_type=\"restore_pod\"} ";
  EXPECT_THAT(metrics_.Serialize(), HasSubstr(running + "1"));

  ::kill(JobPid(Jobs()[0]), SIGKILL);

  EXPECT_TRUE(
      Eventually([&] { return metrics_.Serialize().find(running + "0") != std::string::npos; }));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("reason=\"process_died\"} 1"));
}

TEST_F(WrapperServerTest, TheFirstRequestStartsTheRestoreAndLaterOnesReachIt) {
  const std::string id = BeginRestore();
  const pid_t pid = JobPid(id);

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kStart)), Passes());

  EXPECT_THAT(Jobs(), ElementsAre(id)) << "one process a pod";
  EXPECT_EQ(JobPid(id), pid);
}

TEST_F(WrapperServerTest, ARestoreIsAskedForTheArchiveWhoseDigestStandsUnderItsNameNow) {
  config_.restore_hold_ms = 17;
  config_.restore_idle_timeout_s = 18;
  const std::string id = BeginRestore();

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const jobs::RestoreJob job,
                               jobs::ReadFileOf<jobs::RestoreJob>(JobDir(id), jobs::kRequestFile));

  EXPECT_EQ(job.operation_id, id);
  EXPECT_EQ(job.archive, "a");
  EXPECT_EQ(job.digest, OpenArchive(config_, "a")->digest());
  EXPECT_EQ(job.pod_uid, "u-1");
  EXPECT_EQ(job.pod_name, "web");
  EXPECT_EQ(job.pod_namespace, "shop");
  EXPECT_EQ(job.restore_from, "a");
  EXPECT_EQ(job.restore_operation, "");
  EXPECT_EQ(job.store_root, config_.store_root());
  EXPECT_EQ(job.state_dir, config_.state_dir);
  EXPECT_EQ(job.staging_dir, JobDir(id) + "/staging");
  EXPECT_EQ(job.unpack_program, config_.unpack_program());
  EXPECT_EQ(job.hold, std::chrono::milliseconds(17));
  EXPECT_EQ(job.idle_timeout, std::chrono::seconds(18));
}

TEST_F(WrapperServerTest, WithoutARestoreAStartFailsAndADeletionPasses) {
  EXPECT_THAT(Ask(RequestOf(Request::Kind::kStart)), FailsWith("the restore of this pod is gone"));

  EXPECT_THAT(Jobs(), SizeIs(0)) << "a start begins no restore";
  EXPECT_THAT(Ask(RequestOf(Request::Kind::kDeleted)), Passes());
}

TEST_F(WrapperServerTest, ARestoreThatDiesIsNoticedAndTheNextTryHasANewOne) {
  Request dying = RequestOf(Request::Kind::kCreate);
  dying.container_name = "dies";

  EXPECT_FALSE(Ask(dying).ok()) << "nobody answers: the wrapper sees the end of the connection";

  ASSERT_TRUE(Eventually([&] {
    return Jobs().empty() ||
           !std::filesystem::exists("/proc/" + std::to_string(JobPid(Jobs()[0])) + "/exe");
  }));
  EXPECT_THAT(Ask(RequestOf(Request::Kind::kCreate)), FailsWith("from the restore of a"));
  EXPECT_THAT(Jobs(), SizeIs(1)) << "what the dead one left is removed";
}

TEST_F(WrapperServerTest, GarbageDoesNotKillTheServer) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd garbage,
                               ConnectUnix(config_.runtime_socket(), Soon()));
  ASSERT_THAT(SendFrame(garbage.get(), "\xff\xff garbage", Soon()), IsOk());
  EXPECT_THAT(wrapper::ReceiveAnswer(garbage.get(), Soon()),
              IsOkAnd(Field(&Answer::decision, Answer::Decision::kFail)));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd lie, ConnectUnix(config_.runtime_socket(), Soon()));
  ASSERT_THAT(WriteAll(lie.get(), "\xff\xff\xff\xff"), IsOk());  // a frame of 4 GiB
  { const Result<UniqueFd> hung_up = ConnectUnix(config_.runtime_socket(), Soon()); }

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kDeleted)), Passes());
}

TEST_F(WrapperServerTest, ASlowWrapperKeepsNobodyWaiting) {
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 10; ++i)
    silent.push_back(ConnectUnix(config_.runtime_socket(), Soon()).value());
  const auto began = Deadline::Clock::now();

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kDeleted)), Passes());

  EXPECT_LT(Deadline::Clock::now() - began, std::chrono::seconds(3));
}

TEST_F(WrapperServerTest, ARestoreThatIsStuckKeepsNoOtherPodWaiting) {
  // It is started and never listens.
  SetRestoreProgram("grep -q '\"pod_uid\":\"stuck\"' $2/request.json && exec sleep 600");
  std::atomic<bool> stuck_is_answered = false;
  std::jthread stuck([&] {
    (void)Ask(RequestOf(Request::Kind::kSandbox, "a", "stuck"));
    stuck_is_answered = true;
  });
  ASSERT_TRUE(Eventually([&] { return Jobs().size() == 1; }));

  for (const char* uid : {"u-1", "u-2"}) {
    EXPECT_THAT(Ask(RequestOf(Request::Kind::kSandbox, "a", uid)), FailsWith("the restore of a"));
    EXPECT_THAT(Ask(RequestOf(Request::Kind::kStart, "a", uid)), Passes());
  }

  EXPECT_FALSE(stuck_is_answered);
  EXPECT_THAT(Jobs(), SizeIs(3)) << "every pod has one of its own";
}

TEST_F(WrapperServerTest, AnEndThatIsStuckKeepsNoOtherPodWaiting) {
  const std::string ending = temp_.path() / "ending";
  SetRestoreProgram("[ \"$3\" = --end ] && touch " + ending + " && exec sleep 5");
  Request dying = RequestOf(Request::Kind::kCreate, "a", "dead");
  dying.container_name = "dies";
  (void)Ask(dying);
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(ending); }));

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kSandbox)), FailsWith("the restore of a"));

  EXPECT_THAT(Jobs(), SizeIs(2)) << "the dead one is not ended yet";
  EXPECT_TRUE(Eventually([&] { return Jobs().size() == 1; }));
}

TEST_F(WrapperServerTest, ARestoreStandsInTheRegisterWithItsStage) {
  BeginRestore();
  const std::shared_ptr<Operation> operation = TheRestore();
  EXPECT_EQ(operation->id(), Jobs().at(0));
  EXPECT_EQ(operation->facts().kind, jobs::JobKind::kRestore);
  EXPECT_EQ(operation->pod(), "shop/web");
  EXPECT_EQ(operation->facts().archive, "a");

  WriteReport(operation->id(), {jobs::Stage::kServing, Status(), {}});

  EXPECT_TRUE(Eventually([&] { return operation->progress().stage == "serving"; }));
}

TEST_F(WrapperServerTest, ARestoreThatIsAboutToEndHasASuccessorForWhoAsks) {
  // The first one ends before anybody reaches it.
  const std::string mark = temp_.path() / "ended-once";
  SetRestoreProgram("[ \"$3\" = --end ] || [ -e " + mark + " ] || { touch " + mark + "; exit 3; }");

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kSandbox)), FailsWith("from the restore of a"));
}

TEST_F(WrapperServerTest, ARestoreKeepsACheckpointOfThePodAway) {
  AddPod("u-1");
  const std::string id = BeginRestore();

  EXPECT_THAT(CheckpointOperations(parts()).Start({.pod = "shop/web", .archive = ""}),
              StatusIs(Code::kAborted, HasSubstr(id)));
}

TEST_F(WrapperServerTest, ARestoreWaitsForNoCheckpointOfThePodAndIsRefused) {
  OperationFacts checkpoint;
  checkpoint.id = "c-1";
  checkpoint.pod_key = "u-1";
  ASSERT_THAT(register_->Begin(checkpoint), IsOk());

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kSandbox)), FailsWith("operation c-1 runs"));

  EXPECT_THAT(Jobs(), SizeIs(0));
}

TEST_F(WrapperServerTest, ACancelledRestoreIsEndedAndRemembered) {
  BeginRestore();
  const std::shared_ptr<Operation> operation = TheRestore();

  EXPECT_THAT(operation->Cancel(), IsOk());

  EXPECT_THAT(OutcomeOf(*operation).status, StatusIs(Code::kCancelled));
  EXPECT_THAT(Jobs(), SizeIs(0));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("reason=\"cancelled\"} 1"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> remembered,
                               register_->Find(operation->id()));
  EXPECT_THAT(remembered->outcome().status, StatusIs(Code::kCancelled));
}

TEST_F(WrapperServerTest, ARestoreIsRememberedWithItsOutcomeWhenItsProcessHasEnded) {
  BeginRestore();
  const std::shared_ptr<Operation> operation = TheRestore();
  WriteReport(operation->id(), {jobs::Stage::kRestored, Status(), {}});
  WatchEnds();

  ::kill(JobPid(operation->id()), SIGKILL);

  EXPECT_THAT(OutcomeOf(*operation).status, IsOk());
  EXPECT_THAT(Ends(), ElementsAre(operation->id() + ".json", operation->id()));
  EXPECT_THAT(register_->ListEnded(), SizeIs(1));
  EXPECT_THAT(register_->ListRunning(), SizeIs(0));
}

TEST_F(WrapperServerTest, ARestoreOfAPodThatTheAgentMakesIsAPartOfThatAndCountedThere) {
  OperationFacts pod;
  pod.kind = jobs::JobKind::kPod;
  pod.pod_key = "u-1";
  pod.restore_operation = "op";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const OperationRegister::Begun begun, register_->Begin(pod));
  Request request = RequestOf(Request::Kind::kSandbox);
  request.restore_operation = "op";

  EXPECT_THAT(Ask(request), FailsWith("from the restore of a"));

  EXPECT_THAT(register_->ListRunning(), ElementsAre(begun.operation));
  ASSERT_THAT(Jobs(), SizeIs(1));
  ::kill(JobPid(Jobs()[0]), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return Jobs().empty(); }));
  EXPECT_THAT(register_->ListEnded(), SizeIs(0));
  EXPECT_THAT(metrics_.Serialize(),
              HasSubstr("cryopod_pod_restore_operations_total{result=\"failure\"} 0"));
}

TEST_F(WrapperServerTest, TheNextAgentFindsALivingRestoreAgain) {
  const std::string id = BeginRestore();

  BeginAgent();

  EXPECT_THAT(Ask(RequestOf(Request::Kind::kStart)), Passes());
  EXPECT_THAT(Jobs(), ElementsAre(id));
  EXPECT_EQ(TheRestore()->id(), id);
  EXPECT_THAT(TheRestore()->Cancel(), IsOk());
  EXPECT_TRUE(Eventually([&] { return Jobs().empty(); }));
}

TEST_F(WrapperServerTest, ARestoreThatIsNotUnderstoodIsLeftAloneByEveryAgent) {
  const std::string id = BeginRestore();
  const pid_t pid = JobPid(id);
  wrappers_ = {};
  const std::string foreign = R"({"format":9,"readable_from":9,"kind":"restore"})";
  for (const char* name : {jobs::kStateFile, jobs::kProcessFile, jobs::kRequestFile}) {
    cryopod::test::WriteText(JobDir(id) + "/" + name, foreign);

    BeginAgent();

    EXPECT_THAT(register_->ListRunning(), SizeIs(0));
    ASSERT_THAT(register_->ListForeign(), SizeIs(1));
    EXPECT_EQ(register_->ListForeign()[0].id, id);
    EXPECT_EQ(cryopod::test::ReadText(JobDir(id) + "/" + name), foreign);
    EXPECT_EQ(::kill(pid, 0), 0) << "it works on";
  }
}

TEST_F(WrapperServerTest, WhatADeadRestoreLeftIsRemovedAtTheStart) {
  const pid_t pid = JobPid(BeginRestore());
  const UniqueFd pidfd = OpenPidfd(pid).value();
  wrappers_ = {};
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(PidfdEnded(pidfd.get(), Soon()));

  BeginAgent();

  EXPECT_THAT(Jobs(), SizeIs(0));
}

}  // namespace
}  // namespace cryopod::daemon
