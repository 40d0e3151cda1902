#include "agent/api/client.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "agent/os/file.h"
#include "tests/fakes/fake_agent_server.h"
#include "tests/support/temp_directory.h"

namespace cryopod::api {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class ClientTest : public testing::Test {
 protected:
  static Deadline Soon() { return Deadline::After(seconds(20)); }

  static ArchiveSummary Web() {
    ArchiveSummary summary;
    summary.name = "web1";
    summary.digest = "sha256:00";
    summary.pod_namespace = "shop";
    summary.pod = "web";
    summary.pod_uid = "u-1";
    summary.created = "2026-11-24T22:00:00Z";
    summary.size_bytes = 4096;
    summary.containers = {"app", "db"};
    return summary;
  }

  test::TempDirectory temp_;
  const std::string socket_ = temp_.path() / "agent.sock";
  test::FakeAgentServer server_{socket_};
  Client client_{socket_};
};

TEST_F(ClientTest, ACheckpointReportsItsProgressAndItsResult) {
  CheckpointResult expected;
  expected.archive = "web1";
  expected.digest = "sha256:00";
  expected.size_bytes = 10;
  expected.captured_bytes = 20;
  expected.freeze_us = 30;
  expected.phases = {{"dump", 40}};
  expected.lacks = {"emptyDir /cache"};
  expected.source_stopped = true;
  server_.SetCheckpoint({{"op1", "freeze", "", 0, 0}, {"op1", "dump", "app", 1, 2}}, expected);
  std::vector<std::string> stages;
  CheckpointRequest request;
  request.pod = "shop/web";
  request.archive = "web1";
  request.stop_source = true;
  request.timeout = seconds(77);
  request.operation_id = "mine";

  const Result<CheckpointResult> result = client_.Checkpoint(
      request,
      [&stages](const Progress& progress) {
        stages.push_back(progress.operation_id + " " + progress.stage + " " + progress.container +
                         " " + std::to_string(progress.bytes_done) + "/" +
                         std::to_string(progress.bytes_total));
      },
      Soon());

  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_THAT(stages, ElementsAre("op1 freeze  0/0", "op1 dump app 1/2"));
  EXPECT_EQ(result->archive, "web1");
  EXPECT_EQ(result->digest, "sha256:00");
  EXPECT_EQ(result->size_bytes, 10u);
  EXPECT_EQ(result->captured_bytes, 20u);
  EXPECT_EQ(result->freeze_us, 30u);
  ASSERT_EQ(result->phases.size(), 1u);
  EXPECT_EQ(result->phases[0].name, "dump");
  EXPECT_EQ(result->phases[0].duration_us, 40u);
  EXPECT_THAT(result->lacks, ElementsAre("emptyDir /cache"));
  EXPECT_TRUE(result->source_stopped);
  EXPECT_EQ(server_.checkpoint_request().pod, "shop/web");
  EXPECT_EQ(server_.checkpoint_request().archive, "web1");
  EXPECT_TRUE(server_.checkpoint_request().stop_source);
  EXPECT_FALSE(server_.checkpoint_request().without_volumes);
  EXPECT_EQ(server_.checkpoint_request().timeout, seconds(77));
  EXPECT_EQ(server_.checkpoint_request().operation_id, "mine");
}

TEST_F(ClientTest, ARestoreSendsItsRequestAndBringsItsContainers) {
  RestoreResult expected;
  expected.pod_sandbox_id = "9f";
  expected.containers = {{"app", "4f", 4711}};
  expected.outcome = "restored";
  server_.SetRestore({{"op2", "stage", "", 0, 0}}, expected);
  RestoreRequest request;
  request.archive = "web1";
  request.request_json = "{}";
  request.runtime_handler = "cryopod";
  request.operation_id = "mine";

  const Result<RestoreResult> result = client_.Restore(request, nullptr, Soon());

  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->pod_sandbox_id, "9f");
  ASSERT_EQ(result->containers.size(), 1u);
  EXPECT_EQ(result->containers[0].name, "app");
  EXPECT_EQ(result->containers[0].container_id, "4f");
  EXPECT_EQ(result->containers[0].pid, 4711u);
  EXPECT_EQ(result->outcome, "restored");
  EXPECT_EQ(server_.restore_request().request_json, "{}");
  EXPECT_EQ(server_.restore_request().runtime_handler, "cryopod");
  EXPECT_EQ(server_.restore_request().operation_id, "mine");
  EXPECT_FALSE(server_.restore_request().request_from_archive);
}

TEST_F(ClientTest, ListsArchivesAndOperations) {
  server_.AddArchive(Web(), "");
  Operation running;
  running.operation_id = "op3";
  running.kind = "checkpoint";
  running.state = "running";
  running.stage = "dump";
  server_.AddOperation(running);

  const Result<Listing> all = client_.List("", Soon());
  const Result<Listing> other = client_.List("kube-system", Soon());

  ASSERT_TRUE(all.ok()) << all.status().message();
  ASSERT_EQ(all->archives.size(), 1u);
  EXPECT_EQ(all->archives[0].name, "web1");
  EXPECT_EQ(all->archives[0].pod_namespace, "shop");
  EXPECT_EQ(all->archives[0].size_bytes, 4096u);
  EXPECT_THAT(all->archives[0].containers, ElementsAre("app", "db"));
  ASSERT_EQ(all->operations.size(), 1u);
  EXPECT_EQ(all->operations[0].operation_id, "op3");
  EXPECT_EQ(all->operations[0].stage, "dump");
  ASSERT_TRUE(other.ok());
  EXPECT_THAT(other->archives, IsEmpty());
}

TEST_F(ClientTest, OperationsTravelWithEveryFieldAndThoseThatEndedWhenTheyAreAskedFor) {
  const Operation sent = {"op3",
                          "restore",
                          "shop/db",
                          "web1",
                          "dump",
                          "app",
                          7,
                          10,
                          "2026-11-24T22:00:00Z",
                          42,
                          "failed",
                          "ABORTED",
                          "pod_changed",
                          "sh came in",
                          "/logs/op3"};
  server_.AddOperation(sent);

  const Result<Listing> running = client_.List("", Soon());
  const Result<Listing> all = client_.List("", Soon(), true);

  ASSERT_TRUE(running.ok() && all.ok());
  EXPECT_THAT(running->operations, IsEmpty());
  ASSERT_EQ(all->operations.size(), 1u);
  const auto fields = [](const Operation& of) {
    return std::tie(of.operation_id, of.kind, of.pod, of.archive, of.stage, of.container,
                    of.bytes_done, of.bytes_total, of.began, of.timeout_seconds, of.state, of.code,
                    of.reason, of.message, of.log_folder);
  };
  EXPECT_EQ(fields(all->operations[0]), fields(sent));
}

TEST_F(ClientTest, AWaitBringsTheProgressAndTheResultOfAnOperation) {
  CheckpointResult expected;
  expected.digest = "sha256:00";
  server_.SetCheckpoint({{"op1", "dump", "app", 1, 2}}, expected);
  std::vector<std::string> stages;

  const Result<OperationResult> result = client_.Wait(
      "op1", [&stages](const Progress& progress) { stages.push_back(progress.stage); }, Soon());

  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(std::get<CheckpointResult>(*result).digest, "sha256:00");
  EXPECT_THAT(stages, ElementsAre("dump"));
  EXPECT_THAT(server_.calls(), ElementsAre("Wait op1"));
}

TEST_F(ClientTest, ACancellationNamesItsOperation) {
  EXPECT_TRUE(client_.Cancel("op1", Soon()).ok());

  EXPECT_THAT(server_.calls(), ElementsAre("Cancel op1"));
}

TEST_F(ClientTest, LogsComeWithTheirNames) {
  server_.AddLog("app.dump.log", "one");
  server_.AddLog("db.dump.log", "two");
  std::vector<std::string> logs;

  const Status status = client_.Logs(
      "op1",
      [&logs](std::string_view name, std::string_view bytes) {
        logs.push_back(std::string(name) + "=" + std::string(bytes));
        return Status();
      },
      Soon());

  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_THAT(logs, ElementsAre("app.dump.log=one", "db.dump.log=two"));
}

TEST_F(ClientTest, InspectsVerifiesAndDeletesAnArchive) {
  server_.AddArchive(Web(), "", R"({"podName": "web"})");

  const Result<Inspection> inspection = client_.Inspect("web1", Soon());
  const Result<Verification> verification = client_.Verify("web1", Soon());
  const Status deleted = client_.Delete("web1", Soon());

  ASSERT_TRUE(inspection.ok()) << inspection.status().message();
  EXPECT_EQ(inspection->summary.pod_uid, "u-1");
  EXPECT_EQ(inspection->pod_checkpoint_json, R"({"podName": "web"})");
  ASSERT_TRUE(verification.ok()) << verification.status().message();
  EXPECT_EQ(verification->blobs, 5u);
  EXPECT_TRUE(deleted.ok());
  EXPECT_FALSE(server_.has_archive("web1"));
}

TEST_F(ClientTest, AnExportBringsTheBytesInOrder) {
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += std::to_string(i) + ",";
  server_.AddArchive(Web(), bytes);
  std::string received;

  const Status status = client_.Export(
      "web1", "app",
      [&received](std::string_view chunk) {
        received += chunk;
        return Status();
      },
      Soon());

  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(received, bytes);
  EXPECT_EQ(server_.exported_container(), "app");
}

TEST_F(ClientTest, AnImportSendsAFileToItsEnd) {
  const std::string bytes(1'000'003, 'x');
  const std::string path = temp_.path() / "web.tar";
  const Result<UniqueFd> file = OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT, 0600);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(WriteAll(file->get(), bytes).ok());
  ASSERT_EQ(::lseek(file->get(), 0, SEEK_SET), 0);

  const Result<ArchiveSummary> archive = client_.Import("web2", file->get(), Soon());

  ASSERT_TRUE(archive.ok()) << archive.status().message();
  EXPECT_EQ(archive->name, "web2");
  EXPECT_EQ(archive->size_bytes, bytes.size());
  EXPECT_EQ(server_.archive_bytes("web2"), bytes);
}

TEST_F(ClientTest, AnImportReadsAPipeThatIsSlow) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  std::thread writer([end = ends[1]] {
    const UniqueFd fd(end);
    EXPECT_TRUE(WriteAll(fd.get(), "first,").ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_TRUE(WriteAll(fd.get(), "second").ok());
  });

  const Result<ArchiveSummary> archive = client_.Import("web3", reader.get(), Soon());
  writer.join();

  ASSERT_TRUE(archive.ok()) << archive.status().message();
  EXPECT_EQ(server_.archive_bytes("web3"), "first,second");
}

TEST_F(ClientTest, AnEmptyFileIsImportedUnderItsName) {
  const Result<UniqueFd> empty = OpenAt(AT_FDCWD, "/dev/null", O_RDONLY);
  ASSERT_TRUE(empty.ok());

  const Result<ArchiveSummary> archive = client_.Import("nothing", empty->get(), Soon());

  ASSERT_TRUE(archive.ok()) << archive.status().message();
  EXPECT_EQ(archive->name, "nothing");
}

TEST_F(ClientTest, DescribesTheNodeAndPrintsItsMetrics) {
  server_.SetNode(
      {"0.1.0", "4.2.1", "containerd", "2.1.9", "6.18", "v2", "x86_64", {"no tmpfs"}, {}});
  server_.SetMetrics("cryopod_archives 2\n");

  const Result<NodeInfo> node = client_.DescribeNode(Soon());
  const Result<std::string> metrics = client_.Metrics(Soon());

  ASSERT_TRUE(node.ok()) << node.status().message();
  EXPECT_EQ(node->criu_version, "4.2.1");
  EXPECT_EQ(node->cgroup_version, "v2");
  EXPECT_THAT(node->problems, ElementsAre("no tmpfs"));
  ASSERT_TRUE(metrics.ok());
  EXPECT_EQ(*metrics, "cryopod_archives 2\n");
}

TEST_F(ClientTest, RequirementsTravelWithEveryField) {
  NodeInfo described;
  described.requirements = {{kKernel, RequirementState::kMet, "6.18", "", ""},
                            {kCriu, RequirementState::kLacking, "3.17", "too old", "upgrade it"},
                            {kCriuFeatures, RequirementState::kUnknown, "", "criu is lacking", ""}};
  server_.SetNode(described);

  const Result<NodeInfo> node = client_.DescribeNode(Soon());

  ASSERT_TRUE(node.ok()) << node.status().message();
  ASSERT_EQ(node->requirements.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const Requirement& sent = described.requirements[i];
    const Requirement& received = node->requirements[i];
    EXPECT_EQ(
        std::tie(received.name, received.state, received.found, received.reason, received.remedy),
        std::tie(sent.name, sent.state, sent.found, sent.reason, sent.remedy));
  }
}

}  // namespace
}  // namespace cryopod::api
