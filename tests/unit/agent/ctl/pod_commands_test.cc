#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

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
    restore.phases = {{"stage", 2'000}};
    server_.SetRestore({{"op2", "stage", "", 0, 0}, {"op2", "start", "app", 0, 0}}, restore);
  }
};

TEST_F(PodCommandsTest, CheckpointShowsItsResultInATable) {
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
}

TEST_F(PodCommandsTest, CheckpointTellsEveryStageOnceOnStderr) {
  const Outcome outcome = RunCtl({"checkpoint", "shop/web"});

  EXPECT_EQ(outcome.err,
            "checkpoint shop/web: freeze\n"
            "checkpoint shop/web: dump app\n"
            "checkpoint shop/web: commit\n");
}

TEST_F(PodCommandsTest, CheckpointSendsEveryOption) {
  const Outcome outcome = RunCtl({"checkpoint", "shop/web", "--archive", "web1", "--stop",
                                  "--without-volumes", "--timeout", "90", "--operation", "mine"});

  EXPECT_EQ(outcome.exit_code, 0);
  const api::CheckpointRequest request = server_.checkpoint_request();
  EXPECT_EQ(request.pod, "shop/web");
  EXPECT_EQ(request.archive, "web1");
  EXPECT_TRUE(request.stop_source);
  EXPECT_TRUE(request.without_volumes);
  EXPECT_EQ(request.timeout, seconds(90));
  EXPECT_EQ(request.operation_id, "mine");
}

TEST_F(PodCommandsTest, CheckpointAsksForNothingThatWasNotSaid) {
  RunCtl({"checkpoint", "shop/web"});

  const api::CheckpointRequest request = server_.checkpoint_request();
  EXPECT_EQ(request.archive, "");
  EXPECT_FALSE(request.stop_source);
  EXPECT_FALSE(request.without_volumes);
  EXPECT_EQ(request.timeout, seconds(0));
  EXPECT_EQ(request.operation_id, "");
}

TEST_F(PodCommandsTest, CheckpointAsJsonIsOneObjectAndNothingElse) {
  const Outcome outcome = RunCtl({"checkpoint", "shop/web", "--output", "json"});

  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.err, "");
  const json answer = json::parse(outcome.out);
  EXPECT_EQ(answer["archive"], "web1");
  EXPECT_EQ(answer["size_bytes"], 12u << 20);
  EXPECT_EQ(answer["captured_bytes"], 260u << 20);
  EXPECT_EQ(answer["freeze_us"], 38'250);
  EXPECT_EQ(answer["phases"][1]["name"], "dump");
  EXPECT_EQ(answer["phases"][1]["duration_us"], 36'000);
  EXPECT_EQ(answer["lacks"][0], "emptyDir at /cache");
  EXPECT_EQ(answer["source_stopped"], false);
}

TEST_F(PodCommandsTest, RestoreSendsTheRequestFileAndShowsTheContainers) {
  test::WriteText(Path("pod.json"), R"({"config": {}})");

  const Outcome outcome =
      RunCtl({"restore", "web1", "--request", Path("pod.json"), "--handler", "cryopod"});

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server_.restore_request().archive, "web1");
  EXPECT_EQ(server_.restore_request().request_json, R"({"config": {}})");
  EXPECT_EQ(server_.restore_request().runtime_handler, "cryopod");
  EXPECT_FALSE(server_.restore_request().request_from_archive);
  EXPECT_EQ(outcome.out,
            "sandbox  9f\n"
            "outcome  restored\n"
            "\n"
            "CONTAINER  ID   PID\n"
            "app        4f  4711\n"
            "db         5a    17\n"
            "\n"
            "PHASE  DURATION\n"
            "stage    2.0 ms\n");
  EXPECT_THAT(outcome.err, HasSubstr("restore web1: start app\n"));
}

TEST_F(PodCommandsTest, RestoreReadsTheRequestFromStandardInput) {
  const Outcome outcome = RunCtl({"restore", "web1", "--request", "-"}, R"({"from": "stdin"})");

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server_.restore_request().request_json, R"({"from": "stdin"})");
}

TEST_F(PodCommandsTest, RestoreLetsTheArchiveDecideOnlyWhenTold) {
  const Outcome told = RunCtl({"restore", "web1", "--request-from-archive"});
  EXPECT_EQ(told.exit_code, 0) << told.err;
  EXPECT_TRUE(server_.restore_request().request_from_archive);

  const Outcome untold = RunCtl({"restore", "web1"});

  EXPECT_EQ(untold.exit_code, 2);
  EXPECT_THAT(untold.err, HasSubstr("--request-from-archive"));
  EXPECT_EQ(server_.calls().size(), 1u);
}

TEST_F(PodCommandsTest, RestoreAsJsonNamesSandboxAndContainers) {
  const Outcome outcome = RunCtl({"--output", "json", "restore", "web1", "--request-from-archive"});

  const json answer = json::parse(outcome.out);
  EXPECT_EQ(answer["pod_sandbox_id"], "9f");
  EXPECT_EQ(answer["containers"][1]["name"], "db");
  EXPECT_EQ(answer["containers"][1]["container_id"], "5a");
  EXPECT_EQ(answer["containers"][1]["pid"], 17);
  EXPECT_EQ(answer["outcome"], "restored");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(PodCommandsTest, ANodeThatIsReadySaysSo) {
  server_.SetNode({"0.1.0", "4.2.1", "containerd", "2.1.9", "6.18", "v2", "x86_64", {}});

  const Outcome outcome = RunCtl({"node"});

  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out,
            "agent    0.1.0\n"
            "criu     4.2.1\n"
            "runtime  containerd 2.1.9\n"
            "kernel   6.18 x86_64\n"
            "cgroup   v2\n"
            "ready    can checkpoint and restore\n");
}

TEST_F(PodCommandsTest, ANodeThatIsNotReadyNamesEveryProblem) {
  server_.SetNode({"0.1.0",
                   "3.17",
                   "containerd",
                   "2.1.9",
                   "6.18",
                   "v1",
                   "x86_64",
                   {"CRIU 3.17 is older than 4.1", "no tmpfs"}});

  const Outcome text = RunCtl({"node"});
  const Outcome as_json = RunCtl({"node", "--output", "json"});

  EXPECT_THAT(text.out, HasSubstr("problem  CRIU 3.17 is older than 4.1\nproblem  no tmpfs\n"));
  EXPECT_THAT(text.out, Not(HasSubstr("ready")));
  EXPECT_EQ(json::parse(as_json.out)["problems"].size(), 2u);
}

TEST_F(PodCommandsTest, MetricsArePrintedAsTheyAre) {
  server_.SetMetrics("# TYPE cryopod_archives gauge\ncryopod_archives 2\n");

  EXPECT_EQ(RunCtl({"metrics"}).out, "# TYPE cryopod_archives gauge\ncryopod_archives 2\n");
  EXPECT_EQ(RunCtl({"metrics", "--output", "json"}).out, RunCtl({"metrics"}).out);
}

}  // namespace
}  // namespace cryopod::ctl
