#include "cri/runtime_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/fakes/fake_cri_server.h"
#include "tests/support/soon.h"
#include "tests/support/temp_directory.h"

namespace cryopod::cri {
namespace {

using test::Soon;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;

constexpr char kPod[] =
    R"({"metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "attempt": 3},
        "hostname": "web", "labels": {"a": "b"}, "annotations": {"c": "d"},
        "linux": {"security_context": {"namespace_options": {"pid": "POD"}}}})";
constexpr char kApp[] =
    R"({"metadata": {"name": "app", "attempt": 1}, "image": {"image": "sha256:feed",
        "user_specified_image": "lab.local/app:1"}, "log_path": "app/1.log",
        "mounts": [{"container_path": "/data", "host_path": "/srv", "readonly": true}]})";
constexpr char kDb[] = R"({"metadata": {"name": "db"}, "image": {"image": "lab.local/db:1"}})";

class RuntimeClientTest : public testing::Test {
 protected:
  test::TempDirectory temp_;
  const std::string socket_ = temp_.path() / "cri.sock";
  test::FakeCriServer server_{socket_};
  RuntimeClient client_{socket_};
};

TEST_F(RuntimeClientTest, TellsTheVersionOfTheRuntime) {
  const Result<RuntimeVersion> version = client_.Version(Soon());

  ASSERT_TRUE(version.ok()) << version.status().message();
  EXPECT_EQ(version->name, "containerd");
  EXPECT_EQ(version->version, "2.1.9");
  EXPECT_EQ(version->api_version, "v1");
}

TEST_F(RuntimeClientTest, TellsWhatTheRuntimeWasConfiguredToDo) {
  server_.SetRuntimeConfig(
      R"({"containerd": {"runtimes": {"cryopod": {"PodAnnotations": ["cryopod.dev/*"]}}}})",
      "native");

  const Result<RuntimeConfiguration> configuration = client_.Configuration(Soon());

  ASSERT_TRUE(configuration.ok()) << configuration.status().message();
  EXPECT_TRUE(configuration->shown);
  EXPECT_EQ(configuration->snapshotter, "native");
  EXPECT_THAT(configuration->handlers.at("cryopod").pod_annotations, ElementsAre("cryopod.dev/*"));
}

TEST_F(RuntimeClientTest, ARuntimeThatDoesNotTellItsConfigurationIsNamed) {
  server_.FailNext("Status", Code::kUnavailable, "shutting down");

  const Result<RuntimeConfiguration> configuration = client_.Configuration(Soon());

  EXPECT_EQ(configuration.status().code(), Code::kUnavailable);
  EXPECT_THAT(configuration.status().message(), HasSubstr(socket_));
}

TEST_F(RuntimeClientTest, ListsSandboxes) {
  const std::string id = server_.AddPod(kPod, "cryopod");

  const Result<std::vector<PodSandbox>> sandboxes = client_.ListPodSandboxes(Soon());

  ASSERT_TRUE(sandboxes.ok()) << sandboxes.status().message();
  ASSERT_EQ(sandboxes->size(), 1u);
  const PodSandbox& sandbox = (*sandboxes)[0];
  EXPECT_EQ(sandbox.id, id);
  EXPECT_EQ(sandbox.name, "web");
  EXPECT_EQ(sandbox.namespace_, "shop");
  EXPECT_EQ(sandbox.uid, "u-1");
  EXPECT_EQ(sandbox.attempt, 3u);
  EXPECT_TRUE(sandbox.ready);
  EXPECT_EQ(sandbox.runtime_handler, "cryopod");
  EXPECT_EQ(sandbox.labels.at("a"), "b");
  EXPECT_EQ(sandbox.annotations.at("c"), "d");
}

TEST_F(RuntimeClientTest, DescribesASandboxWithItsContainersInTheOrderOfCreation) {
  const std::string id = server_.AddPod(kPod);
  const std::string other = server_.AddPod(kPod);
  const std::string app = server_.AddContainer(id, kApp, 4711);
  server_.AddContainer(other, kDb, 5);
  const std::string db = server_.AddContainer(id, kDb, 4712);
  server_.SetContainerState(db, ContainerState::kExited);

  const Result<PodSandbox> sandbox = client_.DescribePodSandbox(id, Soon());

  ASSERT_TRUE(sandbox.ok()) << sandbox.status().message();
  EXPECT_EQ(sandbox->ip, "10.88.0.7");
  EXPECT_THAT(sandbox->config_json, HasSubstr(R"("hostname":"web")"));
  ASSERT_EQ(sandbox->containers.size(), 2u);
  const Container& first = sandbox->containers[0];
  EXPECT_EQ(first.id, app);
  EXPECT_EQ(first.name, "app");
  EXPECT_EQ(first.attempt, 1u);
  EXPECT_EQ(first.state, ContainerState::kRunning);
  EXPECT_EQ(first.pid, 4711);
  EXPECT_EQ(first.image, "lab.local/app:1");
  EXPECT_EQ(first.image_ref, "sha256:feed");
  EXPECT_EQ(first.log_path, "app/1.log");
  ASSERT_EQ(first.mounts.size(), 1u);
  EXPECT_EQ(first.mounts[0].container_path, "/data");
  EXPECT_EQ(first.mounts[0].host_path, "/srv");
  EXPECT_TRUE(first.mounts[0].read_only);
  EXPECT_THAT(first.config_json, HasSubstr("lab.local/app:1"));
  EXPECT_THAT(first.status_json, HasSubstr("CONTAINER_RUNNING"));
  EXPECT_EQ(sandbox->containers[1].state, ContainerState::kExited);
  EXPECT_EQ(sandbox->containers[1].image, "lab.local/db:1");
}

TEST_F(RuntimeClientTest, ASandboxThatIsNotThereIsNotFound) {
  const Result<PodSandbox> sandbox = client_.DescribePodSandbox("gone", Soon());

  EXPECT_EQ(sandbox.status().code(), Code::kNotFound);
  EXPECT_THAT(sandbox.status().message(), HasSubstr("PodSandboxStatus gone at " + socket_));
}

TEST_F(RuntimeClientTest, AContainerThatVanishesWhileTheyAreListedIsLeftOut) {
  const std::string id = server_.AddPod(kPod);
  server_.AddContainer(id, kApp, 1);
  server_.FailNext("ContainerStatus", Code::kNotFound, "gone");

  const Result<PodSandbox> sandbox = client_.DescribePodSandbox(id, Soon());

  ASSERT_TRUE(sandbox.ok()) << sandbox.status().message();
  EXPECT_THAT(sandbox->containers, IsEmpty());
}

TEST_F(RuntimeClientTest, FindsAPodByNameAndByPrefix) {
  const std::string id = server_.AddPod(kPod);
  server_.AddContainer(id, kApp, 9);

  const Result<PodSandbox> by_name = client_.FindPod("shop/web", Soon());
  const Result<PodSandbox> by_prefix = client_.FindPod(id.substr(0, 8), Soon());

  ASSERT_TRUE(by_name.ok()) << by_name.status().message();
  EXPECT_EQ(by_name->id, id);
  EXPECT_EQ(by_name->containers.size(), 1u);
  ASSERT_TRUE(by_prefix.ok()) << by_prefix.status().message();
  EXPECT_EQ(by_prefix->id, id);
}

TEST_F(RuntimeClientTest, RunsAPodFromSandboxToContainer) {
  const Result<std::string> sandbox = client_.RunPodSandbox(kPod, "cryopod", Soon());
  ASSERT_TRUE(sandbox.ok()) << sandbox.status().message();
  const Result<std::string> container = client_.CreateContainer(*sandbox, kApp, kPod, Soon());
  ASSERT_TRUE(container.ok()) << container.status().message();
  EXPECT_EQ(server_.container_state(*container), ContainerState::kCreated);

  const Status started = client_.StartContainer(*container, Soon());

  ASSERT_TRUE(started.ok()) << started.message();
  EXPECT_EQ(server_.container_state(*container), ContainerState::kRunning);
  EXPECT_THAT(server_.sandbox_config(*sandbox), HasSubstr(R"("hostname":"web")"));
  EXPECT_THAT(server_.container_config(*container), HasSubstr("user_specified_image"));
}

TEST_F(RuntimeClientTest, StopsAndRemovesAPod) {
  const std::string sandbox = server_.AddPod(kPod);
  const std::string container = server_.AddContainer(sandbox, kApp, 1);

  ASSERT_TRUE(client_.StopContainer(container, 7, Soon()).ok());
  ASSERT_TRUE(client_.RemoveContainer(container, Soon()).ok());
  ASSERT_TRUE(client_.StopPodSandbox(sandbox, Soon()).ok());
  ASSERT_TRUE(client_.RemovePodSandbox(sandbox, Soon()).ok());

  EXPECT_THAT(server_.calls(),
              ElementsAre("StopContainer " + container + " 7", "RemoveContainer " + container,
                          "StopPodSandbox " + sandbox, "RemovePodSandbox " + sandbox));
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(server_.container_ids(), IsEmpty());
}

TEST_F(RuntimeClientTest, LetsTheRuntimeCheckpointAContainerWithinTheTimeThatIsLeft) {
  const std::string container = server_.AddContainer(server_.AddPod(kPod), kApp, 1);

  const Status status = client_.CheckpointContainer(container, "/var/lib/checkpoints/one.tar",
                                                    Deadline::After(std::chrono::minutes(5)));

  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_THAT(server_.calls(), ElementsAre(MatchesRegex("CheckpointContainer " + container +
                                                        " /var/lib/checkpoints/one.tar 29[0-9]")));
}

TEST_F(RuntimeClientTest, RunsACommandInAContainer) {
  const std::string container = server_.AddContainer(server_.AddPod(kPod), kApp, 1);
  server_.SetExecResult({3, std::string("out\0\xff", 5), "err"});

  const Result<ExecResult> result = client_.ExecSync(container, {"cat", "/x y"}, Soon());

  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, std::string("out\0\xff", 5));
  EXPECT_EQ(result->error, "err");
  EXPECT_THAT(server_.calls(), ElementsAre("ExecSync " + container + " cat /x y"));
}

TEST_F(RuntimeClientTest, AConfigurationWithAnUnknownFieldNeverReachesTheRuntime) {
  const Result<std::string> sandbox = client_.RunPodSandbox(R"({"metdata": {}})", "", Soon());
  const Result<std::string> container = client_.CreateContainer("s", R"({"x": 1})", kPod, Soon());

  EXPECT_EQ(sandbox.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(sandbox.status().message(), HasSubstr("metdata"));
  EXPECT_EQ(container.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(server_.calls(), IsEmpty());
}

TEST_F(RuntimeClientTest, WorksOnAfterItWasMoved) {
  RuntimeClient moved = std::move(client_);

  EXPECT_TRUE(moved.Version(Soon()).ok());
}

}  // namespace
}  // namespace cryopod::cri
