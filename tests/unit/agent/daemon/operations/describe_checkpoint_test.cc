#include "agent/daemon/operations/describe_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/jobs/job_file.h"
#include "tests/support/status_matchers.h"

namespace cryopod::daemon {
namespace {

using cri::ContainerState;
using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

cri::Container Container(const std::string& name, ContainerState state, int32_t exit_code = 0,
                         uint32_t attempt = 0) {
  cri::Container container;
  container.id = name + "-" + std::to_string(attempt);
  container.name = name;
  container.state = state;
  container.exit_code = exit_code;
  container.attempt = attempt;
  return container;
}

constexpr auto kRunning = ContainerState::kRunning;
constexpr auto kExited = ContainerState::kExited;
constexpr auto kCreated = ContainerState::kCreated;
constexpr auto kUnknown = ContainerState::kUnknown;

class DescribeCheckpointJobTest : public ::testing::Test {
 protected:
  DescribeCheckpointJobTest() {
    config_.state_dir = "/state";
    config_.criu_program = "/criu";
    config_.runtime_root = "/runc";
    operation_.id = "c-1";
    operation_.archive = "my-archive";
    operation_.timeout = std::chrono::seconds(5);
    pod_.id = "sandbox";
    pod_.name = "web";
    pod_.namespace_ = "shop";
    pod_.uid = "u-1";
    pod_.ready = true;
    pod_.runtime_handler = "cryopod";
    pod_.config_json = "{}";
    cri::Container app = Container("app", kRunning);
    app.image = "image:1";
    app.image_ref = "sha256:1";
    app.image_id = "sha256:11";
    app.created_at_ns = 5;
    app.config_json = R"({"c":1})";
    app.status_json = R"({"s":1})";
    app.mounts = {{"/data", "/srv", true}};
    pod_.containers = {app};
  }
  Result<jobs::CheckpointJob> Describe() const {
    return DescribeCheckpointJob(config_, request_, pod_, {"containerd", "2.1.9", "v1"},
                                 operation_);
  }

  settings::AgentSettings config_;
  api::CheckpointRequest request_;
  cri::PodSandbox pod_;
  OperationFacts operation_;
};

TEST_F(DescribeCheckpointJobTest, TakesWhatRunsAndNamesWhatHasEndedWell) {
  struct Case {
    const char* name;
    std::vector<cri::Container> containers;
    std::vector<std::string> running;  // IDs
    std::vector<std::string> finished;
  };
  const cri::Container app = Container("app", kRunning);
  const cri::Container init = Container("init", kExited);
  for (const Case& one : std::vector<Case>{
           {"in the order of creation", {Container("b", kRunning), app}, {"b-0", "app-0"}, {}},
           {"an init container", {init, app}, {"app-0"}, {"init"}},
           {"the last attempt counts",
            {Container("init", kExited, 1), Container("init", kExited, 0, 1), app},
            {"app-0"},
            {"init"}},
           {"an earlier attempt of a running one is ignored",
            {Container("app", kExited, 1), Container("app", kRunning, 0, 1)},
            {"app-1"},
            {}}}) {
    SCOPED_TRACE(one.name);
    pod_.containers = one.containers;

    CRYOPOD_ASSERT_OK_AND_ASSIGN(const jobs::CheckpointJob job, Describe());

    std::vector<std::string> running;
    for (const jobs::RequestedContainer& container : job.containers)
      running.push_back(container.id);
    std::vector<std::string> finished;
    for (const auto& container : job.finished) finished.push_back(container.name);
    EXPECT_EQ(running, one.running);
    EXPECT_EQ(finished, one.finished);
  }
}

TEST_F(DescribeCheckpointJobTest, APodOfWhichAContainerNeitherRunsNorHasEndedWellIsRefused) {
  struct Case {
    std::vector<cri::Container> containers;
    const char* refusal;
  };
  const cri::Container app = Container("app", kRunning);
  for (const auto& [containers, refusal] : std::vector<Case>{
           {{}, "no running container"},
           {{Container("app", kExited)}, "no running container"},
           {{Container("job", kExited), Container("job", kExited, 2, 1), app},
            "container job has ended with exit code 2"},
           {{app, Container("db", kExited, 137)}, "container db has ended with exit code 137"},
           {{app, Container("db", kCreated)}, "container db has not been started"},
           {{app, Container("db", kUnknown)}, "container db"}}) {
    pod_.containers = containers;

    EXPECT_THAT(Describe(), StatusIs(Code::kFailedPrecondition,
                                     AllOf(HasSubstr("pod shop/web"), HasSubstr(refusal))));
  }
}

TEST_F(DescribeCheckpointJobTest, HoldsEverythingThatOnlyCriKnows) {
  cri::Container setup = Container("setup", kExited, 0);
  setup.image = "image:2";
  setup.image_ref = "sha256:2";
  pod_.containers.push_back(setup);
  EXPECT_FALSE(Describe()->stop_source);
  EXPECT_FALSE(Describe()->without_volumes);
  EXPECT_FALSE(Describe()->restore_once);
  request_.stop_source = true;
  request_.without_volumes = true;
  request_.restore_once = true;

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const jobs::CheckpointJob job, Describe());

  EXPECT_EQ(job.operation_id, "c-1");
  EXPECT_EQ(job.archive, "my-archive");
  EXPECT_EQ(job.sandbox_id, "sandbox");
  EXPECT_EQ(job.pod_name, "web");
  EXPECT_EQ(job.pod_namespace, "shop");
  EXPECT_EQ(job.pod_uid, "u-1");
  EXPECT_EQ(job.runtime_handler, "cryopod");
  EXPECT_EQ(job.runtime_name, "containerd");
  EXPECT_EQ(job.runtime_version, "2.1.9");
  EXPECT_EQ(job.runtime_root, "/runc");
  EXPECT_EQ(job.store_root, "/state/archives");
  EXPECT_EQ(job.state_dir, "/state");
  EXPECT_EQ(job.criu_program, "/criu");
  EXPECT_TRUE(job.stop_source);
  EXPECT_TRUE(job.without_volumes);
  EXPECT_TRUE(job.restore_once);
  EXPECT_EQ(job.timeout_s, 5u);
  const jobs::RequestedContainer app = {
      "app",      "app-0",      "image:1",    "sha256:1",
      5,          R"({"c":1})", R"({"s":1})", {{"/data", "/srv", true}},
      "sha256:11"};
  EXPECT_THAT(job.containers, ElementsAre(app));
  EXPECT_THAT(job.finished,
              ElementsAre(archive::FinishedContainer{"setup", "image:2", "sha256:2"}));
  // What it says survives the way to the other process.
  EXPECT_THAT(jobs::FromText<jobs::CheckpointJob>(jobs::ToText(job), "request.json"), IsOkAnd(job));
}

TEST_F(DescribeCheckpointJobTest, AnArchiveIsNamedByItsPodAndTheTime) {
  EXPECT_THAT(DefaultArchiveName(pod_), MatchesRegex("shop_web_[0-9]{8}T[0-9]{6}Z"));
}

TEST_F(DescribeCheckpointJobTest, TheLongestNamesStillMakeAnArchiveName) {
  pod_.name = std::string(253, 'p');
  pod_.namespace_ = std::string(63, 'n');
  operation_.archive = DefaultArchiveName(pod_);

  EXPECT_THAT(Describe(), IsOk());
}

TEST_F(DescribeCheckpointJobTest, APodWhoseSandboxStoppedIsRefusedByName) {
  pod_.ready = false;

  EXPECT_THAT(Describe(), StatusIs(Code::kFailedPrecondition, HasSubstr("shop/web")));
}

TEST_F(DescribeCheckpointJobTest, ABadArchiveNameIsRefused) {
  for (const char* name : {"../escape", "a/b", ".hidden", "with space", "-x"}) {
    operation_.archive = name;
    EXPECT_THAT(Describe(), StatusIs(Code::kInvalidArgument)) << name;
  }
}

}  // namespace
}  // namespace cryopod::daemon
