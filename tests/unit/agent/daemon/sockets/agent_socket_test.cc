#include "agent/daemon/sockets/agent_socket.h"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "agent/jobs/kept_logs.h"
#include "tests/support/without_landlock.h"
#include "tests/unit/agent/daemon/sockets/agent_server_fixture.h"

namespace cryopod::daemon {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The real server and the real client over the real socket.
class AgentServiceTest : public test::AgentServerFixture {
 protected:
  void SetUp() override {
    test::AgentServerFixture::SetUp();
    if (IsSkipped()) return;
    Start();
    client_ = std::make_unique<api::Client>(config_.agent_socket());
  }

  void MakeArchive(const std::string& name) const {
    ASSERT_THAT(test::MakeSampleArchive(config_.store_root(), name, {"app", "sidecar"}), IsOk());
  }
  // One byte of one blob that no opening parses.
  void Damage(const std::string& name) const {
    fs::path biggest;
    for (const auto& blob :
         fs::directory_iterator(config_.store_root() + "/" + name + "/blobs/sha256")) {
      const std::string text = ReadText(blob.path());
      if (text.starts_with("\x28\xb5\x2f\xfd")) biggest = blob.path();  // zstd
    }
    const UniqueFd file(::open(biggest.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(file.get(), &byte, 1, 20), 1);
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(::pwrite(file.get(), &byte, 1, 20), 1);
  }
  Result<api::CheckpointResult> Checkpoint(api::FailureDetails* details = nullptr) {
    return client_->Checkpoint({.pod = "shop/web", .archive = "a"}, nullptr, Soon(), details);
  }
  // One that waits for Go(), of a caller who has gone away.
  std::string LeaveACheckpoint() {
    std::string id = OwnId();
    AddPod();
    SetCheckpointProgram(Say({"dump", "app", 7, 10}) + WaitForGo() + SayResult(GoodResult()));
    const api::CheckpointRequest request{
        .pod = "shop/web", .archive = "a", .timeout = seconds(42), .operation_id = id};
    EXPECT_THAT(client_->Checkpoint(request, nullptr, Deadline::After(milliseconds(300))),
                StatusIs(Code::kDeadlineExceeded));
    EXPECT_TRUE(Eventually([&] { return fs::exists(JobDir(id) + "/waiting"); }));
    EXPECT_TRUE(Eventually([&] { return (*operations_.Find(id))->progress().stage == "dump"; }));
    return id;
  }
  std::map<std::string, std::string> LogsOf(const std::string& id) {
    std::map<std::string, std::string> logs;
    EXPECT_THAT(client_->Logs(
                    id,
                    [&](std::string_view name, std::string_view bytes) {
                      logs[std::string(name)] += bytes;
                      return Status();
                    },
                    Soon()),
                IsOk());
    return logs;
  }

  std::unique_ptr<api::Client> client_;
};

TEST_F(AgentServiceTest, ACheckpointHandsItsOptionsOnStreamsItsProgressAndEndsWithItsResult) {
  AddPod();
  jobs::CheckpointResult good = GoodResult();
  good.lacks = {"files in /dev/shm"};
  const fs::path seen = temp_.path() / "request.json";
  SetCheckpointProgram("cp $job/request.json " + seen.string() + "\n" +
                       Say({"archive", "", 7, 10}) + SayResult(good));
  std::vector<api::Progress> progress;
  const auto note = [&](const api::Progress& one) { progress.push_back(one); };

  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const api::CheckpointResult result,
      client_->Checkpoint({"shop/web", "mine", true, true, true, seconds(42), ""}, note, Soon()));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const jobs::CheckpointJob job,
      jobs::FromText<jobs::CheckpointJob>(ReadText(seen), jobs::kRequestFile));
  EXPECT_EQ(job.archive, "mine");
  EXPECT_TRUE(job.stop_source);
  EXPECT_TRUE(job.without_volumes);
  EXPECT_TRUE(job.restore_once);
  EXPECT_EQ(job.timeout_s, 42u);
  EXPECT_EQ(result.archive, "a");
  EXPECT_EQ(result.digest, good.digest);
  EXPECT_EQ(result.size_bytes, 1234u);
  EXPECT_EQ(result.captured_bytes, 5678u);
  EXPECT_EQ(result.freeze_us, 910u);
  EXPECT_THAT(result.phases, SizeIs(2));
  EXPECT_THAT(result.lacks, ElementsAre("files in /dev/shm"));
  EXPECT_FALSE(result.source_stopped);
  ASSERT_THAT(progress, SizeIs(1));
  EXPECT_EQ(progress[0].stage, "archive");
  EXPECT_EQ(progress[0].bytes_done, 7u);
  EXPECT_THAT(progress[0].operation_id, ::testing::StartsWith("c-"));
}

TEST_F(AgentServiceTest, AFailureArrivesWithItsReasonItsOperationAndItsLogsAndARefusalWithNone) {
  AddPod();
  jobs::CheckpointResult failed;
  failed.status = Status(Code::kAborted, "a process was started", Reason::kPodChanged);
  const std::string logs = config_.state_dir + "/logs/$(basename $job)";
  SetCheckpointProgram("mkdir -p " + logs + "\n" + SayResult(failed));
  api::FailureDetails details;
  api::FailureDetails of_refusal;

  const Status checkpoint = Checkpoint(&details).status();
  const Status refusal =
      client_->Checkpoint({.pod = "shop/absent", .archive = "a"}, nullptr, Soon(), &of_refusal)
          .status();

  EXPECT_THAT(checkpoint, StatusIs(Code::kAborted, "a process was started"));
  EXPECT_EQ(checkpoint.reason(), Reason::kPodChanged);
  EXPECT_THAT(details.operation_id, ::testing::StartsWith("c-"));
  EXPECT_EQ(details.log_folder, config_.state_dir + "/logs/" + details.operation_id);
  EXPECT_THAT(refusal, StatusIs(Code::kNotFound, HasSubstr("shop/absent")));
  EXPECT_EQ(of_refusal.operation_id, "");
  EXPECT_EQ(of_refusal.log_folder, "");
}

TEST_F(AgentServiceTest, ACallerThatGoesAwayEndsNoCheckpointAndFindsItAgain) {
  const std::string id = LeaveACheckpoint();

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Listing listing, client_->List("", Soon()));
  ASSERT_THAT(listing.operations, SizeIs(1));
  const api::Operation& running = listing.operations[0];
  EXPECT_EQ(running.operation_id, id);
  EXPECT_EQ(running.kind, "checkpoint");
  EXPECT_EQ(running.pod, "shop/web");
  EXPECT_EQ(running.archive, "a");
  EXPECT_EQ(running.state, "running");
  EXPECT_EQ(running.stage, "dump");
  EXPECT_EQ(running.container, "app");
  EXPECT_EQ(running.bytes_done, 7u);
  EXPECT_EQ(running.bytes_total, 10u);
  EXPECT_THAT(running.began, ::testing::StartsWith("20"));
  EXPECT_EQ(running.timeout_seconds, 42u);
  Go();
  std::vector<std::string> stages;
  const auto note = [&](const api::Progress& progress) { stages.push_back(progress.stage); };
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::OperationResult waited, client_->Wait(id, note, Soon()));
  EXPECT_EQ(std::get<api::CheckpointResult>(waited).digest, GoodResult().digest);
  EXPECT_THAT(stages, ElementsAre("dump")) << "told from the beginning";
}

TEST_F(AgentServiceTest, WhoWaitsForAnOperationThatHasEndedHearsWhatItCameTo) {
  AddPod();
  SetCheckpointProgram(SayResult(GoodResult()));
  const std::string good_id = OwnId() + "-good";
  const std::string bad_id = OwnId() + "-bad";
  api::CheckpointRequest request{.pod = "shop/web", .archive = "a", .operation_id = good_id};
  ASSERT_THAT(client_->Checkpoint(request, nullptr, Soon()), IsOk());
  jobs::CheckpointResult failed;
  failed.status = Status(Code::kDataLoss, "blob 4f");
  SetCheckpointProgram(SayResult(failed));
  request.operation_id = bad_id;
  ASSERT_FALSE(client_->Checkpoint(request, nullptr, Soon()).ok());
  api::FailureDetails details;

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::OperationResult good,
                               client_->Wait(good_id, nullptr, Soon()));
  const Status bad = client_->Wait(bad_id, nullptr, Soon(), &details).status();

  EXPECT_EQ(std::get<api::CheckpointResult>(good).size_bytes, 1234u);
  EXPECT_THAT(bad, StatusIs(Code::kDataLoss, "blob 4f"));
  EXPECT_EQ(details.operation_id, bad_id);
  EXPECT_THAT(client_->Wait("unknown", nullptr, Soon()), StatusIs(Code::kNotFound));
  EXPECT_THAT(client_->Wait("../bad", nullptr, Soon()), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(client_->List("", Soon())->operations, IsEmpty());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Listing all, client_->List("", Soon(), true));
  std::map<std::string, std::string> states;
  for (const api::Operation& operation : all.operations) {
    states[operation.operation_id] =
        operation.state + " " + operation.code + " " + operation.reason + " " + operation.message;
  }
  EXPECT_EQ(states[good_id], "succeeded   ");
  EXPECT_EQ(states[bad_id], "failed DATA_LOSS archive_damaged blob 4f");
}

TEST_F(AgentServiceTest, ACancelledOperationIsAskedToEndAndWhoWaitsHearsOfIt) {
  const std::string id = LeaveACheckpoint();
  EXPECT_THAT(client_->Cancel("unknown", Soon()), StatusIs(Code::kNotFound));

  EXPECT_THAT(client_->Cancel(id, Soon()), IsOk());

  // A script that is ended by the signal leaves no result.
  EXPECT_THAT(client_->Wait(id, nullptr, Soon()), StatusIs(Code::kInternal));
  EXPECT_THAT(client_->Cancel(id, Soon()), StatusIs(Code::kFailedPrecondition, HasSubstr(id)));
}

TEST_F(AgentServiceTest,
       TheLogsOfAnOperationComeFromItsStagingAreaWhileItRunsAndAreKeptAfterwards) {
  const std::string id = LeaveACheckpoint();
  EXPECT_THAT(client_->Logs(id, nullptr, Soon()), StatusIs(Code::kNotFound, HasSubstr(id)));
  const fs::path work = JobDir(id) + "/staging/app.work";
  fs::create_directories(work);
  const std::string long_log(3 << 20, 'x');
  cryopod::test::WriteText(work / "dump.log", long_log);

  EXPECT_THAT(LogsOf(id), ElementsAre(::testing::Pair("app.dump.log", long_log)));

  jobs::KeepLogs(JobDir(id), config_.state_dir, id);
  Go();
  ASSERT_THAT(client_->Wait(id, nullptr, Soon()), IsOk());
  EXPECT_THAT(LogsOf(id), ElementsAre(::testing::Pair("app.dump.log", long_log)));
  EXPECT_THAT(client_->Logs("unknown", nullptr, Soon()), StatusIs(Code::kNotFound));
}

TEST_F(AgentServiceTest, AJobThatIsNotUnderstoodIsListedAndCounted) {
  operations_.AddForeign("c-9", Status(Code::kUnimplemented, "written in format 9"));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Listing listing, client_->List("", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string metrics, client_->Metrics(Soon()));

  ASSERT_THAT(listing.operations, SizeIs(1));
  EXPECT_EQ(listing.operations[0].operation_id, "c-9");
  EXPECT_EQ(listing.operations[0].state, "foreign");
  EXPECT_EQ(listing.operations[0].message, "written in format 9");
  EXPECT_THAT(metrics, HasSubstr("cryopod_jobs_not_understood 1"));
  EXPECT_THAT(client_->Cancel("c-9", Soon()), StatusIs(Code::kUnimplemented));
}

TEST_F(AgentServiceTest, ArchivesAreListedByNamespaceAndDamagedOnesNamed) {
  MakeArchive("a");
  MakeArchive("b");
  fs::create_directories(config_.store_root() + "/broken/blobs/sha256");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Listing all, client_->List("", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Listing shop, client_->List("shop", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Listing other, client_->List("other", Soon()));

  ASSERT_THAT(all.archives, SizeIs(3));
  EXPECT_EQ(all.archives[0].name, "a");
  EXPECT_EQ(all.archives[0].pod_namespace, "shop");
  EXPECT_EQ(all.archives[0].pod, "web");
  EXPECT_THAT(all.archives[0].containers, ElementsAre("app", "sidecar"));
  EXPECT_GT(all.archives[0].size_bytes, 0u);
  EXPECT_EQ(all.archives[0].damage, "");
  EXPECT_EQ(all.archives[2].name, "broken");
  EXPECT_NE(all.archives[2].damage, "");
  EXPECT_THAT(shop.archives, SizeIs(3)) << "whose pod a damaged one was nobody knows";
  EXPECT_THAT(other.archives, SizeIs(1));
}

TEST_F(AgentServiceTest, InspectAndVerifyTellWhatIsInAnArchive) {
  MakeArchive("a");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Inspection inspection, client_->Inspect("a", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::Verification verification, client_->Verify("a", Soon()));

  EXPECT_EQ(nlohmann::json::parse(inspection.pod_checkpoint_json)["containers"].size(), 2u);
  EXPECT_EQ(inspection.summary.digest, verification.digest);
  const fs::directory_iterator blobs(config_.store_root() + "/a/blobs/sha256");
  EXPECT_EQ(verification.blobs, static_cast<uint64_t>(std::distance(begin(blobs), end(blobs))));
  EXPECT_EQ(verification.size_bytes, inspection.summary.size_bytes);
  EXPECT_THAT(client_->Inspect("absent", Soon()), StatusIs(Code::kNotFound, HasSubstr("absent")));
  EXPECT_THAT(client_->Verify("../a", Soon()), StatusIs(Code::kInvalidArgument));
  Damage("a");
  EXPECT_THAT(client_->Verify("a", Soon()),
              StatusIs(Code::kDataLoss, HasSubstr("verifying archive a")));
}

TEST_F(AgentServiceTest, AnArchiveThatIsRestoredFromIsNotDeletedAndTheRestoreIsNamed) {
  MakeArchive("a");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::ArchiveStore store,
                               archive::ArchiveStore::Open(config_.store_root()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(UniqueFd lease, store.Lease("a"));
  OperationFacts restore;
  restore.id = "r-1";
  restore.kind = jobs::JobKind::kRestore;
  restore.pod = "shop/web";
  restore.pod_key = "u-1";
  restore.archive = "a";
  ASSERT_THAT(operations_.Begin(restore), IsOk());

  EXPECT_THAT(client_->Delete("a", Soon()),
              StatusIs(Code::kFailedPrecondition,
                       AllOf(HasSubstr("operation r-1 of pod shop/web"), HasSubstr("cancel"))));

  lease.Reset();
  EXPECT_THAT(client_->Delete("a", Soon()), IsOk());
}

TEST_F(AgentServiceTest, AnArchiveIsDeletedUnlessAnotherOneStandsUnderItsName) {
  MakeArchive("a");
  EXPECT_THAT(client_->Delete("a@sha256:" + std::string(64, '0'), Soon()),
              StatusIs(Code::kFailedPrecondition));
  EXPECT_THAT(client_->Inspect("a", Soon()), IsOk());

  EXPECT_THAT(client_->Delete("a", Soon()), IsOk());

  EXPECT_THAT(client_->Inspect("a", Soon()), StatusIs(Code::kNotFound));
  EXPECT_THAT(client_->Delete("a", Soon()), StatusIs(Code::kNotFound));
}

TEST_F(AgentServiceTest, AnExportedArchiveComesBackAsTheSameOne) {
  MakeArchive("a");
  const fs::path tar = temp_.path() / "a.tar";
  UniqueFd file(::open(tar.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const auto write = [&](std::string_view bytes) { return WriteAll(file.get(), bytes); };
  ASSERT_THAT(client_->Export("a", "", write, Soon()), IsOk());
  ASSERT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::ArchiveSummary imported,
                               client_->Import("b", file.get(), Soon()));

  EXPECT_EQ(imported.name, "b");
  EXPECT_EQ(imported.digest, client_->Inspect("a", Soon())->summary.digest);
  ASSERT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  EXPECT_THAT(client_->Import("b", file.get(), Soon()), StatusIs(Code::kAlreadyExists));
}

TEST_F(AgentServiceTest, OneContainerIsExportedAsATarAndAnUnknownOneRefused) {
  MakeArchive("a");
  std::string bytes;
  const auto take = [&bytes](std::string_view some) {
    bytes += some;
    return Status();
  };

  EXPECT_THAT(client_->Export("a", "app", take, Soon()), IsOk());

  EXPECT_THAT(bytes, AllOf(HasSubstr("config.dump"), HasSubstr("checkpoint/inventory.img")));
  EXPECT_THAT(client_->Export("a", "nobody", take, Soon()),
              StatusIs(Code::kNotFound, HasSubstr("app")));
}

TEST_F(AgentServiceTest, AnImportThatIsNoArchiveLeavesNothing) {
  const fs::path rubbish = temp_.path() / "rubbish";
  std::ofstream(rubbish) << std::string(5000, 'x');
  const UniqueFd file(::open(rubbish.c_str(), O_RDONLY | O_CLOEXEC));

  EXPECT_FALSE(client_->Import("b", file.get(), Soon()).ok());
  EXPECT_THAT(client_->Import("../b", file.get(), Soon()), StatusIs(Code::kInvalidArgument));

  EXPECT_THAT(client_->List("", Soon())->archives, IsEmpty());
}

TEST_F(AgentServiceTest, ARestoreThatFailsIsItsErrorAndIsCounted) {
  api::RestoreRequest request;
  request.archive = "absent";
  request.request_json = "{}";

  EXPECT_THAT(client_->Restore(request, nullptr, Soon()),
              StatusIs(Code::kNotFound, HasSubstr("absent")));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string text, client_->Metrics(Soon()));
  EXPECT_THAT(text, HasSubstr("cryopod_pod_restore_operations_total"));
}

TEST_F(AgentServiceTest, TheNodeIsDescribedAndItsProblemsAreTheRequirementsThatAreLacking) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::NodeInfo info, client_->DescribeNode(Soon()));

  EXPECT_EQ(info.criu_version, "4.2.1");
  EXPECT_EQ(info.runtime_name, "containerd");
  EXPECT_EQ(info.runtime_version, "2.1.9");
  EXPECT_FALSE(info.kernel.empty());
  EXPECT_FALSE(info.agent_version.empty());
  std::vector<std::string> lacking;
  for (const api::Requirement& requirement : info.requirements) {
    if (requirement.state == api::RequirementState::kLacking) lacking.push_back(requirement.name);
  }
  const auto criu =
      std::ranges::find(info.requirements, std::string(api::kCriu), &api::Requirement::name);
  ASSERT_NE(criu, info.requirements.end());
  EXPECT_EQ(criu->found, "CRIU 4.2.1");
  EXPECT_THAT(lacking, ::testing::Contains(api::kRuntimeHandler));
  ASSERT_EQ(info.problems.size(), lacking.size());
  for (size_t i = 0; i < lacking.size(); ++i) {
    EXPECT_THAT(info.problems[i], ::testing::StartsWith(lacking[i] + ": "));
  }
}

TEST_F(AgentServiceTest, MetricsDescribeTheNodeAndCountItsStore) {
  MakeArchive("a");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const api::NodeInfo info, client_->DescribeNode(Soon()));

  // The first ones wait for the node only for a moment.
  std::string text;
  EXPECT_TRUE(Eventually([&] {
    text = client_->Metrics(Soon()).value();
    return text.find("cryopod_criu_info{") != text.npos;
  }));

  EXPECT_THAT(text, HasSubstr("cryopod_criu_info{version=\"4.2.1\"} 1"));
  EXPECT_THAT(text, HasSubstr("cryopod_runtime_info{name=\"containerd\",version=\"2.1.9\"} 1"));
  EXPECT_THAT(text, HasSubstr("cryopod_node_problems " + std::to_string(info.problems.size())));
  EXPECT_THAT(text, HasSubstr("cryopod_pods_frozen 0"));
  EXPECT_THAT(text, HasSubstr("cryopod_archives{namespace=\"shop\"} 1"));
}

TEST_F(AgentServiceTest, ASocketNobodyCanListenOnIsNamed) {
  settings::AgentSettings other = config_;
  other.run_dir = "/nowhere";

  EXPECT_THAT(ServeAgent({other, runtime_, operations_, metrics_}, checkpoints_, pods_),
              StatusIs(Code::kUnavailable, HasSubstr("/nowhere/agent.sock")));
}

class AgentWithoutLandlockTest : public test::AgentServerFixture {};

TEST_F(AgentWithoutLandlockTest, AnImportIsRefusedWithTheSettingThatTakesIt) {
  // The server's threads see what the one sees that starts them.
  cryopod::test::WithoutLandlock([this] { Start(); });
  const fs::path tar = temp_.path() / "a.tar";
  std::ofstream(tar) << "anything";
  const UniqueFd file(::open(tar.c_str(), O_RDONLY | O_CLOEXEC));

  EXPECT_THAT(api::Client(config_.agent_socket()).Import("b", file.get(), Soon()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("import_without_landlock")));
}

}  // namespace
}  // namespace cryopod::daemon
