#include "agent/checkpoint/describe_pod.h"

#include <nlohmann/json.hpp>

#include "tests/support/status_matchers.h"
#include "tests/unit/agent/checkpoint/dump_target_fixture.h"

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

TEST(DescribePodTest, CarriesThePodItsContainersAndWhatTheFreezeYielded) {
  jobs::CheckpointJob job;
  job.pod_name = "web";
  job.pod_namespace = "default";
  job.pod_uid = "u";
  job.sandbox_id = "s";
  job.runtime_handler = "cryopod";
  ResolvedPod pod;
  pod.hostname = "web-0";
  pod.shares_pid_namespace = true;
  const test::AnyLeaf leaf;
  if (!leaf.valid()) GTEST_SKIP() << "no cgroup can be made";
  for (const char* name : {"app", "sidecar"}) pod.targets.push_back(leaf.Target(name, ::getpid()));
  pod.targets[0].requested = App();
  std::vector<CapturedContainer> captured(2);
  captured[0].processes = {{1, 0, {1, 2, 3}}, {7, 1, {}}};
  captured[0].tasks = 3;
  captured[0].rootfs_bytes = 500;
  archive::NodeFacts node;
  node.architecture = "x86_64";

  const archive::PodCheckpoint checkpoint =
      DescribePod(job, pod, captured, {1000, 2000}, node, "now");

  EXPECT_EQ(checkpoint.created, "now");
  EXPECT_EQ(checkpoint.pod_name, "web");
  EXPECT_EQ(checkpoint.pod_namespace, "default");
  EXPECT_EQ(checkpoint.pod_uid, "u");
  EXPECT_EQ(checkpoint.sandbox_id, "s");
  EXPECT_EQ(checkpoint.runtime_handler, "cryopod");
  EXPECT_EQ(checkpoint.hostname, "web-0");
  EXPECT_TRUE(checkpoint.shares_pid_namespace);
  EXPECT_EQ(checkpoint.node.architecture, "x86_64");
  ASSERT_EQ(checkpoint.containers.size(), 2u);
  const archive::ContainerCheckpoint& app = checkpoint.containers[0];
  EXPECT_EQ(app.name, "app");
  EXPECT_EQ(app.id, "id1");
  EXPECT_EQ(app.image, "docker.io/app:1");
  EXPECT_EQ(app.image_ref, "sha256:1");
  EXPECT_EQ(app.processes, 2u);
  EXPECT_EQ(app.tasks, 3u) << "a zombie is a process and no task";
  EXPECT_EQ(app.images_bytes, 1000u);
  EXPECT_EQ(app.rootfs_bytes, 500u);
  EXPECT_THAT(app.mounts, ElementsAre(archive::MountRecord{"/data", "/host/data", true}));
  EXPECT_EQ(checkpoint.containers[1].images_bytes, 2000u);
}

TEST(ContainerMetadataTest, HasTheFilesThatCheckpointctlReads) {
  const std::map<std::string, std::string> files =
      ContainerMetadata(App(), "runc", R"({"ociVersion":"1.2.0"})", "2026-11-24T22:00:00Z");

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
