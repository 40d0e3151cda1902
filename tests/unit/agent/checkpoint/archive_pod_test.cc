#include "agent/checkpoint/archive_pod.h"

#include <nlohmann/json.hpp>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

jobs::RequestedContainer App() {
  return {"app",
          "id1",
          "docker.io/app:1",
          "sha256:1",
          1'700'000'000'123'456'789,
          R"({"a":1})",
          R"({"b":2})",
          {{"/data", "/host/data", true}}};
}

using DescribePodTest = test::LeafTest;

TEST_F(DescribePodTest, CarriesThePodItsContainersAndTheNode) {
  jobs::CheckpointJob job;
  job.pod_name = "web";
  job.pod_namespace = "default";
  job.pod_uid = "u";
  job.sandbox_id = "s";
  job.runtime_handler = "cryopod";
  job.runtime_name = "containerd";
  job.runtime_version = "2.1";
  ResolvedPod pod;
  pod.hostname = "web-0";
  pod.shares_pid_namespace = true;
  for (const char* name : {"app", "sidecar"}) pod.targets.push_back(Target(name, ::getpid()));
  pod.targets[0].requested = App();
  pod.targets[0].requested.image_id = "sha256:2";
  const cryopod::test::TempDirectory bundle;
  pod.targets[0].state.rootfs = bundle.path() / "rootfs";
  cryopod::test::WriteText(bundle.path() / "config.json",
                           R"({"process": {"args": ["/app", "-x"], "cwd": "/srv"}})");
  job.restore_once = true;
  const bool is_v2 = pod.targets[0].cgroup.version() == CgroupVersion::kV2;
  const Machine machine = {"x86_64", "6.18", "neither", {"avx"}, {{"vendor", "A"}}};

  const archive::PodCheckpoint checkpoint = DescribePod(job, pod, machine, "4.2.1");

  EXPECT_EQ(checkpoint.pod_name, "web");
  EXPECT_EQ(checkpoint.pod_namespace, "default");
  EXPECT_EQ(checkpoint.pod_uid, "u");
  EXPECT_EQ(checkpoint.sandbox_id, "s");
  EXPECT_EQ(checkpoint.runtime_handler, "cryopod");
  EXPECT_EQ(checkpoint.hostname, "web-0");
  EXPECT_TRUE(checkpoint.shares_pid_namespace);
  EXPECT_TRUE(checkpoint.restore_once);
  EXPECT_EQ(
      checkpoint.node,
      (archive::NodeFacts{{"x86_64", "6.18", is_v2 ? "v2" : "v1", machine.cpu_flags, machine.cpu},
                          "4.2.1",
                          "containerd",
                          "2.1"}));
  ASSERT_EQ(checkpoint.containers.size(), 2u);
  const archive::ContainerCheckpoint& app = checkpoint.containers[0];
  EXPECT_EQ(app.name, "app");
  EXPECT_EQ(app.id, "id1");
  EXPECT_EQ(app.image, "docker.io/app:1");
  EXPECT_EQ(app.image_ref, "sha256:1");
  EXPECT_EQ(app.image_id, "sha256:2");
  EXPECT_EQ(app.program.command, "/app -x");
  EXPECT_EQ(app.program.working_directory, "/srv");
  EXPECT_THAT(app.mounts, ElementsAre(archive::MountRecord{"/data", "/host/data", true}));
  EXPECT_EQ(checkpoint.containers[1].name, "sidecar");
}

TEST(ContainerMetadataTest, HasTheFilesThatCheckpointctlReads) {
  const std::map<std::string, std::string> files =
      ContainerMetadata(App(), R"({"ociVersion":"1.2.0"})", "2026-11-24T22:00:00Z");

  const json config = json::parse(files.at("config.dump"));
  EXPECT_EQ(config["id"], "id1");
  EXPECT_EQ(config["name"], "app");
  EXPECT_EQ(config["rootfsImageName"], "docker.io/app:1");
  EXPECT_EQ(config["runtime"], "runc");
  EXPECT_EQ(config["createdTime"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(config["checkpointedTime"], "2026-11-24T22:00:00Z");
  EXPECT_EQ(config["restored"], false);
  EXPECT_EQ(json::parse(files.at("status"))["CreatedAt"], 1'700'000'000'123'456'789);
  EXPECT_EQ(files.at("status.dump"), R"({"b":2})");
  EXPECT_EQ(files.at("spec.dump"), R"({"ociVersion":"1.2.0"})");
  EXPECT_EQ(files.at("container-config.json"), R"({"a":1})");
}

TEST(PodMetadataTest, HoldsTheSandboxConfigAndTheContainersByName) {
  jobs::CheckpointJob job;
  job.sandbox_config_json = R"({"metadata":{}})";
  job.containers = {App()};

  const std::map<std::string, std::string> files = PodMetadata(job);

  EXPECT_EQ(files.at("pod.dump"), job.sandbox_config_json);
  const json options = json::parse(files.at("pod.options"));
  EXPECT_EQ(options["version"], 1);
  EXPECT_EQ(options["containers"], json({{"app", "id1-app"}}));
}

}  // namespace
}  // namespace cryopod::checkpoint
