#include "cri/runtime_client.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/fakes/fake_cri_server.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::cri {
namespace {

using test::IsOk;
using test::Soon;
using test::StatusIs;
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
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RuntimeVersion version, client_.Version(Soon()));

  EXPECT_EQ(version.name + " " + version.version + " " + version.api_version,
            "containerd 2.1.9 v1");
}

TEST_F(RuntimeClientTest, TellsWhatTheRuntimeWasConfiguredToDo) {
  server_.SetRuntimeConfig(
      R"({"containerd": {"runtimes": {"cryopod": {"PodAnnotations": ["cryopod.dev/*"]}}}})",
      "native");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RuntimeConfiguration configuration,
                               client_.Configuration(Soon()));

  EXPECT_TRUE(configuration.shown);
  EXPECT_EQ(configuration.snapshotter, "native");
  EXPECT_THAT(configuration.handlers.at("cryopod").pod_annotations, ElementsAre("cryopod.dev/*"));
}

TEST_F(RuntimeClientTest, ARuntimeThatDoesNotTellItsConfigurationIsNamed) {
  server_.FailNext("Status", Code::kUnavailable, "shutting down");

  EXPECT_THAT(client_.Configuration(Soon()), StatusIs(Code::kUnavailable, HasSubstr(socket_)));
}

TEST_F(RuntimeClientTest, ListsSandboxes) {
  const std::string id = server_.AddPod(kPod, "cryopod");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<PodSandbox> sandboxes,
                               client_.ListPodSandboxes(Soon()));

  ASSERT_EQ(sandboxes.size(), 1u);
  const PodSandbox& sandbox = sandboxes[0];
  EXPECT_EQ(sandbox.id, id);
  EXPECT_EQ(sandbox.name, "web");
  EXPECT_EQ(sandbox.namespace_, "shop");
  EXPECT_EQ(sandbox.uid, "u-1");
  EXPECT_EQ(sandbox.attempt, 3u);
  EXPECT_TRUE(sandbox.ready);
  EXPECT_EQ(sandbox.runtime_handler, "cryopod");
  EXPECT_EQ(sandbox.annotations.at("c"), "d");
}

TEST_F(RuntimeClientTest, DescribesASandboxWithItsContainersInTheOrderOfCreation) {
  const std::string id = server_.AddPod(kPod);
  const std::string other = server_.AddPod(kPod);
  const std::string app = server_.AddContainer(id, kApp, 4711);
  server_.AddContainer(other, kDb, 5);
  const std::string db = server_.AddContainer(id, kDb, 4712);
  server_.SetContainerState(db, ContainerState::kExited);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const PodSandbox sandbox, client_.DescribePodSandbox(id, Soon()));

  EXPECT_EQ(sandbox.ip, "10.88.0.7");
  EXPECT_THAT(sandbox.config_json, HasSubstr(R"("hostname":"web")"));
  ASSERT_EQ(sandbox.containers.size(), 2u);
  const Container& first = sandbox.containers[0];
  EXPECT_EQ(first.id, app);
  EXPECT_EQ(first.name, "app");
  EXPECT_EQ(first.attempt, 1u);
  EXPECT_EQ(first.state, ContainerState::kRunning);
  EXPECT_EQ(first.pid, 4711);
  EXPECT_EQ(first.image, "lab.local/app:1");
  EXPECT_EQ(first.image_ref, "sha256:feed");
  EXPECT_EQ(first.image_id, "sha256:f00d");
  EXPECT_EQ(first.log_path, "app/1.log");
  ASSERT_EQ(first.mounts.size(), 1u);
  EXPECT_EQ(first.mounts[0].container_path, "/data");
  EXPECT_EQ(first.mounts[0].host_path, "/srv");
  EXPECT_TRUE(first.mounts[0].read_only);
  EXPECT_THAT(first.config_json, HasSubstr("lab.local/app:1"));
  EXPECT_THAT(first.status_json, HasSubstr("CONTAINER_RUNNING"));
  EXPECT_EQ(sandbox.containers[1].state, ContainerState::kExited);
  EXPECT_EQ(sandbox.containers[1].image, "lab.local/db:1");
}

TEST_F(RuntimeClientTest, ASandboxThatIsNotThereIsNotFound) {
  EXPECT_THAT(client_.DescribePodSandbox("gone", Soon()),
              StatusIs(Code::kNotFound, HasSubstr("PodSandboxStatus gone at " + socket_)));
}

TEST_F(RuntimeClientTest, AContainerThatVanishesWhileTheyAreListedIsLeftOut) {
  const std::string id = server_.AddPod(kPod);
  server_.AddContainer(id, kApp, 1);
  server_.FailNext("ContainerStatus", Code::kNotFound, "gone");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const PodSandbox sandbox, client_.DescribePodSandbox(id, Soon()));

  EXPECT_THAT(sandbox.containers, IsEmpty());
}

TEST_F(RuntimeClientTest, FindsAPodByNameAndByPrefix) {
  const std::string id = server_.AddPod(kPod);
  server_.AddContainer(id, kApp, 9);

  for (const std::string& pod : {std::string("shop/web"), id.substr(0, 8)}) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const PodSandbox found, client_.FindPod(pod, Soon()));
    EXPECT_EQ(found.id, id);
    EXPECT_EQ(found.containers.size(), 1u);
  }
}

TEST_F(RuntimeClientTest, RunsAPodFromSandboxToContainer) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string sandbox,
                               client_.RunPodSandbox(kPod, "cryopod", Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string container,
                               client_.CreateContainer(sandbox, kApp, kPod, Soon()));
  EXPECT_EQ(server_.container_state(container), ContainerState::kCreated);

  ASSERT_THAT(client_.StartContainer(container, Soon()), IsOk());

  EXPECT_EQ(server_.container_state(container), ContainerState::kRunning);
  EXPECT_THAT(server_.sandbox_config(sandbox), HasSubstr(R"("hostname":"web")"));
  EXPECT_THAT(server_.container_config(container), HasSubstr("user_specified_image"));
}

TEST_F(RuntimeClientTest, StopsAndRemovesAPod) {
  const std::string sandbox = server_.AddPod(kPod);
  const std::string container = server_.AddContainer(sandbox, kApp, 1);

  ASSERT_THAT(client_.StopContainer(container, 7, Soon()), IsOk());
  ASSERT_THAT(client_.RemoveContainer(container, Soon()), IsOk());
  ASSERT_THAT(client_.StopPodSandbox(sandbox, Soon()), IsOk());
  ASSERT_THAT(client_.RemovePodSandbox(sandbox, Soon()), IsOk());

  EXPECT_THAT(server_.calls(),
              ElementsAre("StopContainer " + container + " 7", "RemoveContainer " + container,
                          "StopPodSandbox " + sandbox, "RemovePodSandbox " + sandbox));
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
  EXPECT_THAT(server_.container_ids(), IsEmpty());
}

TEST_F(RuntimeClientTest, LetsTheRuntimeCheckpointAContainerWithinTheTimeThatIsLeft) {
  const std::string container = server_.AddContainer(server_.AddPod(kPod), kApp, 1);

  ASSERT_THAT(client_.CheckpointContainer(container, "/var/lib/checkpoints/one.tar",
                                          Deadline::After(std::chrono::minutes(5))),
              IsOk());

  EXPECT_THAT(server_.calls(), ElementsAre(MatchesRegex("CheckpointContainer " + container +
                                                        " /var/lib/checkpoints/one.tar 29[0-9]")));
}

TEST_F(RuntimeClientTest, RunsACommandInAContainer) {
  const std::string container = server_.AddContainer(server_.AddPod(kPod), kApp, 1);
  server_.SetExecResult({3, std::string("out\0\xff", 5), "err"});

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExecResult result,
                               client_.ExecSync(container, {"cat", "/x y"}, Soon()));

  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.output, std::string("out\0\xff", 5));
  EXPECT_EQ(result.error, "err");
  EXPECT_THAT(server_.calls(), ElementsAre("ExecSync " + container + " cat /x y"));
}

TEST_F(RuntimeClientTest, AConfigurationWithAnUnknownFieldNeverReachesTheRuntime) {
  EXPECT_THAT(client_.RunPodSandbox(R"({"metdata": {}})", "", Soon()),
              StatusIs(Code::kInvalidArgument, HasSubstr("metdata")));
  EXPECT_THAT(client_.CreateContainer("s", R"({"x": 1})", kPod, Soon()),
              StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(server_.calls(), IsEmpty());
}

}  // namespace
}  // namespace cryopod::cri
