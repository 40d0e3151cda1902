#include <gmock/gmock.h>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

class PodCommandsTest : public test::CtlFixture {
 protected:
  PodCommandsTest() {
    api::CheckpointResult checkpoint;
    checkpoint.archive = "web1";
    checkpoint.digest = "sha256:feed";
    checkpoint.size_bytes = uint64_t{12} << 20;
    checkpoint.captured_bytes = uint64_t{260} << 20;
    checkpoint.freeze_us = 38'250;
    checkpoint.phases = {{"preflight", 1'500}, {"dump", 36'000}};
    checkpoint.lacks = {"emptyDir at /cache"};
    server_.SetCheckpoint({{"op1", "freeze", "", 0, 0},
                           {"op1", "dump", "app", 1, 10},
                           {"op1", "dump", "app", 5, 10},
                           {"op1", "commit", "", 0, 0}},
                          checkpoint);
    api::RestoreResult restore;
    restore.pod_sandbox_id = "9f";
    restore.containers = {{"app", "4f", 4711}, {"db", "5a", 17}};
    restore.outcome = "restored";
    restore.warnings = {"container app: another environment"};
    restore.phases = {{"stage", 2'000}};
    server_.SetRestore({{"op2", "stage", "", 0, 0}, {"op2", "start", "app", 0, 0}}, restore);
  }
};

TEST_F(PodCommandsTest, CheckpointShowsItsResultInATableAndEveryStageOnceOnStderr) {
  const Outcome outcome = RunCtl({"checkpoint", "shop/web"});

  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out,
            "archive  web1\n"
            "digest   sha256:feed\n"
            "size     12.0 MiB (260.0 MiB captured)\n"
            "freeze   38.2 ms\n"
            "source   runs on\n"
            "lacks    emptyDir at /cache\n"
            "\n"
            "PHASE      DURATION\n"
            "preflight    1.5 ms\n"
            "dump        36.0 ms\n");
  EXPECT_EQ(outcome.err,
            "checkpoint shop/web: freeze\n"
            "checkpoint shop/web: dump app\n"
            "checkpoint shop/web: commit\n");
}

TEST_F(PodCommandsTest, CheckpointSendsEveryOptionAndNothingThatWasNotSaid) {
  RunCtl({"checkpoint", "shop/web"});
  api::CheckpointRequest request = server_.checkpoint_request();
  EXPECT_EQ(request.archive + request.operation_id, "");
  EXPECT_FALSE(request.stop_source || request.without_volumes || request.restore_once);
  EXPECT_EQ(request.timeout, seconds(0));

  RunCtl({"checkpoint", "shop/web", "--archive", "web1", "--stop", "--without-volumes",
          "--restore-once", "--timeout", "90", "--operation", "mine"});
  request = server_.checkpoint_request();
  EXPECT_EQ(request.pod, "shop/web");
  EXPECT_EQ(request.archive, "web1");
  EXPECT_TRUE(request.stop_source && request.without_volumes && request.restore_once);
  EXPECT_EQ(request.timeout, seconds(90));
  EXPECT_EQ(request.operation_id, "mine");
}

TEST_F(PodCommandsTest, CheckpointAsJsonIsOneObjectAndNothingElse) {
  EXPECT_EQ(JsonOf({"checkpoint", "shop/web"}), json::parse(R"({
      "archive": "web1", "digest": "sha256:feed", "size_bytes": 12582912,
      "captured_bytes": 272629760, "freeze_us": 38250, "external_files": [],
      "phases": [{"name": "preflight", "duration_us": 1500}, {"name": "dump", "duration_us": 36000}],
      "lacks": ["emptyDir at /cache"], "source_stopped": false})"));
}

TEST_F(PodCommandsTest, RestoreSendsTheRequestFileAndShowsTheContainers) {
  test::WriteText(Path("pod.json"), R"({"config": {}})");

  const Outcome outcome = RunCtl({"restore", "web1", "--request", Path("pod.json"), "--handler",
                                  "cryopod", "--differences", "image"});

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server_.restore_request().archive, "web1");
  EXPECT_EQ(server_.restore_request().request_json, R"({"config": {}})");
  EXPECT_EQ(server_.restore_request().runtime_handler, "cryopod");
  EXPECT_EQ(server_.restore_request().differences, "image");
  EXPECT_FALSE(server_.restore_request().request_from_archive);
  EXPECT_EQ(outcome.out,
            "sandbox  9f\n"
            "outcome  restored\n"
            "warning  container app: another environment\n"
            "\n"
            "CONTAINER  ID   PID\n"
            "app        4f  4711\n"
            "db         5a    17\n"
            "\n"
            "PHASE  DURATION\n"
            "stage    2.0 ms\n");
  EXPECT_THAT(outcome.err, HasSubstr("restore web1: start app\n"));
}

TEST_F(PodCommandsTest, RestoreReadsTheRequestFromStandardInputOrLetsTheArchiveDecideWhenTold) {
  RunCtl({"restore", "web1", "--request", "-"}, R"({"from": "stdin"})");
  EXPECT_EQ(server_.restore_request().request_json, R"({"from": "stdin"})");
  RunCtl({"restore", "web1", "--request-from-archive"});
  EXPECT_TRUE(server_.restore_request().request_from_archive);

  const Outcome untold = RunCtl({"restore", "web1"});

  EXPECT_EQ(untold.exit_code, 2);
  EXPECT_THAT(untold.err, HasSubstr("--request-from-archive"));
  EXPECT_EQ(server_.calls().size(), 2u);
}

TEST_F(PodCommandsTest, RestoreAsJsonNamesSandboxAndContainers) {
  EXPECT_EQ(JsonOf({"restore", "web1", "--request-from-archive"}), json::parse(R"({
      "pod_sandbox_id": "9f", "outcome": "restored",
      "warnings": ["container app: another environment"],
      "containers": [{"name": "app", "container_id": "4f", "pid": 4711},
                     {"name": "db", "container_id": "5a", "pid": 17}],
      "phases": [{"name": "stage", "duration_us": 2000}]})"));
}

TEST_F(PodCommandsTest, ANodeSaysThatItIsReadyOrNamesEveryProblem) {
  api::NodeInfo node{"0.1.0", "4.2.1", "containerd", "2.1.9", "6.18", "v2", "x86_64", {}};
  const std::string facts =
      "agent    0.1.0\n"
      "criu     4.2.1\n"
      "runtime  containerd 2.1.9\n"
      "kernel   6.18 x86_64\n"
      "cgroup   v2\n";
  server_.SetNode(node);
  EXPECT_EQ(RunCtl({"node"}).out, facts + "ready    can checkpoint and restore\n");

  node.problems = {"CRIU 3.17 is older than 4.1", "no tmpfs"};
  server_.SetNode(node);
  EXPECT_EQ(RunCtl({"node"}).out,
            facts + "problem  CRIU 3.17 is older than 4.1\nproblem  no tmpfs\n");
  EXPECT_EQ(JsonOf({"node"})["problems"], json(node.problems));
}

TEST_F(PodCommandsTest, VersionIsOursAndTheAgentsWhereItAnswers) {
  server_.SetNode({"0.0.9", "4.2.1", "containerd", "2.1.9", "6.18", "v2", "x86_64", {}});
  const json here = JsonOf({"version"});
  EXPECT_EQ("cryopodctl " + here["client"].get<std::string>() + "\n", RunCtl({"--version"}).out);
  EXPECT_EQ(here["agent"], "0.0.9");
  EXPECT_THAT(RunCtl({"version"}).out, HasSubstr("agent       0.0.9\n"));

  const Outcome away = RunCtl({"version", "--socket", Path("none.sock")});

  EXPECT_EQ(away.exit_code, 0);
  EXPECT_THAT(away.out, HasSubstr("agent       no answer from the agent: "));
  EXPECT_THAT(away.out, HasSubstr(Path("none.sock")));
  const json alone = JsonOf({"version", "--socket", Path("none.sock")});
  EXPECT_TRUE(alone["agent"].is_null());
  EXPECT_EQ(alone["client"], here["client"]);
}

TEST_F(PodCommandsTest, MetricsArePrintedAsTheyAre) {
  server_.SetMetrics("# TYPE cryopod_archives gauge\ncryopod_archives 2\n");

  EXPECT_EQ(RunCtl({"metrics"}).out, "# TYPE cryopod_archives gauge\ncryopod_archives 2\n");
  EXPECT_EQ(RunCtl({"metrics", "--output", "json"}).out, RunCtl({"metrics"}).out);
}

}  // namespace
}  // namespace cryopod::ctl
