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
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::api {
namespace {

using std::chrono::seconds;
using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using testing::ElementsAre;
using testing::IsEmpty;

class ClientTest : public testing::Test {
 protected:
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
  CheckpointResult expected = {
      "web1", "sha256:00", 10, 20, 30, {{"dump", 40}}, {"emptyDir /cache"}, {"/data/log"}, true};
  server_.SetCheckpoint({{"op1", "freeze", "", 0, 0}, {"op1", "dump", "app", 1, 2}}, expected);
  std::vector<std::string> stages;
  const auto note = [&stages](const Progress& progress) {
    stages.push_back(progress.operation_id + " " + progress.stage + " " + progress.container + " " +
                     std::to_string(progress.bytes_done) + "/" +
                     std::to_string(progress.bytes_total));
  };
  const CheckpointRequest request = {"shop/web", "web1", true, false, true, seconds(77), "mine"};

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CheckpointResult result,
                               client_.Checkpoint(request, note, Soon()));

  EXPECT_THAT(stages, ElementsAre("op1 freeze  0/0", "op1 dump app 1/2"));
  const auto fields = [](const CheckpointResult& of) {
    return std::tie(of.archive, of.digest, of.size_bytes, of.captured_bytes, of.freeze_us, of.lacks,
                    of.external_files, of.source_stopped);
  };
  EXPECT_EQ(fields(result), fields(expected));
  ASSERT_EQ(result.phases.size(), 1u);
  EXPECT_EQ(result.phases[0].name, "dump");
  EXPECT_EQ(result.phases[0].duration_us, 40u);
  const CheckpointRequest asked = server_.checkpoint_request();
  const auto asked_fields = [](const CheckpointRequest& of) {
    return std::tie(of.pod, of.archive, of.stop_source, of.without_volumes, of.restore_once,
                    of.timeout, of.operation_id);
  };
  EXPECT_EQ(asked_fields(asked), asked_fields(request));
}

TEST_F(ClientTest, ARestoreSendsItsRequestAndBringsItsContainers) {
  const RestoreResult expected = {"9f", {{"app", "4f", 4711}}, {}, "restored", {"A differs"}};
  server_.SetRestore({{"op2", "stage", "", 0, 0}}, expected);
  const RestoreRequest request = {"web1", "{}", false, "cryopod", seconds(0), "mine", "image"};

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RestoreResult result,
                               client_.Restore(request, nullptr, Soon()));

  EXPECT_EQ(result.pod_sandbox_id, "9f");
  ASSERT_EQ(result.containers.size(), 1u);
  EXPECT_EQ(result.containers[0].name, "app");
  EXPECT_EQ(result.containers[0].container_id, "4f");
  EXPECT_EQ(result.containers[0].pid, 4711u);
  EXPECT_EQ(result.outcome, "restored");
  EXPECT_EQ(result.warnings, expected.warnings);
  const RestoreRequest asked = server_.restore_request();
  const auto fields = [](const RestoreRequest& of) {
    return std::tie(of.archive, of.request_json, of.request_from_archive, of.runtime_handler,
                    of.timeout, of.operation_id, of.differences);
  };
  EXPECT_EQ(fields(asked), fields(request));
}

TEST_F(ClientTest, ArchivesAreListedByNamespaceWithEveryField) {
  server_.AddArchive(Web(), "");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Listing all, client_.List("", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Listing other, client_.List("kube-system", Soon()));

  ASSERT_EQ(all.archives.size(), 1u);
  const auto fields = [](const ArchiveSummary& of) {
    return std::tie(of.name, of.digest, of.pod_namespace, of.pod, of.pod_uid, of.created,
                    of.size_bytes, of.containers, of.damage);
  };
  const ArchiveSummary sent = Web();
  EXPECT_EQ(fields(all.archives[0]), fields(sent));
  EXPECT_THAT(other.archives, IsEmpty());
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
  Operation runs;
  runs.operation_id = "op4";
  runs.state = "running";
  server_.AddOperation(sent);
  server_.AddOperation(runs);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Listing running, client_.List("", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Listing all, client_.List("", Soon(), true));

  ASSERT_EQ(running.operations.size(), 1u);
  EXPECT_EQ(running.operations[0].operation_id, "op4");
  ASSERT_EQ(all.operations.size(), 2u);
  const auto fields = [](const Operation& of) {
    return std::tie(of.operation_id, of.kind, of.pod, of.archive, of.stage, of.container,
                    of.bytes_done, of.bytes_total, of.began, of.timeout_seconds, of.state, of.code,
                    of.reason, of.message, of.log_folder);
  };
  EXPECT_EQ(fields(all.operations[0]), fields(sent));
}

TEST_F(ClientTest, AWaitBringsTheProgressAndTheResultOfAnOperation) {
  CheckpointResult expected;
  expected.digest = "sha256:00";
  server_.SetCheckpoint({{"op1", "dump", "app", 1, 2}}, expected);
  std::vector<std::string> stages;
  const auto note = [&stages](const Progress& progress) { stages.push_back(progress.stage); };

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const OperationResult result, client_.Wait("op1", note, Soon()));

  EXPECT_EQ(std::get<CheckpointResult>(result).digest, "sha256:00");
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

  const auto take = [&logs](std::string_view name, std::string_view bytes) {
    logs.push_back(std::string(name) + "=" + std::string(bytes));
    return Status();
  };

  EXPECT_THAT(client_.Logs("op1", take, Soon()), IsOk());

  EXPECT_THAT(logs, ElementsAre("app.dump.log=one", "db.dump.log=two"));
}

TEST_F(ClientTest, InspectsVerifiesAndDeletesAnArchive) {
  server_.AddArchive(Web(), "", R"({"podName": "web"})");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Inspection inspection, client_.Inspect("web1", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Verification verification, client_.Verify("web1", Soon()));
  const Status deleted = client_.Delete("web1", Soon());

  EXPECT_EQ(inspection.summary.pod_uid, "u-1");
  EXPECT_EQ(inspection.pod_checkpoint_json, R"({"podName": "web"})");
  EXPECT_EQ(verification.blobs, 5u);
  EXPECT_TRUE(deleted.ok());
  EXPECT_FALSE(server_.has_archive("web1"));
}

TEST_F(ClientTest, AnExportBringsTheBytesInOrder) {
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += std::to_string(i) + ",";
  server_.AddArchive(Web(), bytes);
  std::string received;

  const auto take = [&received](std::string_view chunk) {
    received += chunk;
    return Status();
  };

  EXPECT_THAT(client_.Export("web1", "app", take, Soon()), IsOk());

  EXPECT_EQ(received, bytes);
  EXPECT_EQ(server_.exported_container(), "app");
}

TEST_F(ClientTest, AnImportSendsAFileToItsEnd) {
  const std::string bytes(1'000'003, 'x');
  const std::string path = temp_.path() / "web.tar";
  test::WriteText(path, bytes);
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ArchiveSummary archive,
                               client_.Import("web2", file.get(), Soon()));

  EXPECT_EQ(archive.name, "web2");
  EXPECT_EQ(archive.size_bytes, bytes.size());
  EXPECT_EQ(server_.archive_bytes("web2"), bytes);
}

TEST_F(ClientTest, AnImportReadsAPipeThatIsSlow) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  const std::jthread writer([end = ends[1]] {
    const UniqueFd fd(end);
    EXPECT_TRUE(WriteAll(fd.get(), "first,").ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_TRUE(WriteAll(fd.get(), "second").ok());
  });

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ArchiveSummary archive,
                               client_.Import("web3", reader.get(), Soon()));

  EXPECT_EQ(server_.archive_bytes("web3"), "first,second");
}

TEST_F(ClientTest, AnEmptyFileIsImportedUnderItsName) {
  const UniqueFd empty(::open("/dev/null", O_RDONLY | O_CLOEXEC));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ArchiveSummary archive,
                               client_.Import("nothing", empty.get(), Soon()));

  EXPECT_EQ(archive.name, "nothing");
}

TEST_F(ClientTest, MetricsAreTheAgentsText) {
  server_.SetMetrics("cryopod_archives 2\n");

  EXPECT_THAT(client_.Metrics(Soon()), IsOkAnd("cryopod_archives 2\n"));
}

TEST_F(ClientTest, TheNodeAndItsRequirementsTravelWithEveryField) {
  NodeInfo described = {"0.1.0", "4.2.1",  "containerd", "2.1.9", "6.18",
                        "v2",    "x86_64", {"no tmpfs"}, {}};
  described.requirements = {{kKernel, RequirementState::kMet, "6.18", "", ""},
                            {kCriu, RequirementState::kLacking, "3.17", "too old", "upgrade it"},
                            {kCriuFeatures, RequirementState::kUnknown, "", "criu is lacking", ""}};
  server_.SetNode(described);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const NodeInfo node, client_.DescribeNode(Soon()));

  const auto fields = [](const NodeInfo& of) {
    return std::tie(of.agent_version, of.criu_version, of.runtime_name, of.runtime_version,
                    of.kernel, of.cgroup_version, of.architecture, of.problems);
  };
  EXPECT_EQ(fields(node), fields(described));
  ASSERT_EQ(node.requirements.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const Requirement& sent = described.requirements[i];
    const Requirement& received = node.requirements[i];
    EXPECT_EQ(
        std::tie(received.name, received.state, received.found, received.reason, received.remedy),
        std::tie(sent.name, sent.state, sent.found, sent.reason, sent.remedy));
  }
}

}  // namespace
}  // namespace cryopod::api
