#include "agent/checkpoint/late_containers.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using test::NamespaceHolder;
using ::testing::HasSubstr;

// A pod of one container that was dumped, with an IPC namespace that its containers share.
class LateContainersTest : public test::LeafTest {
 protected:
  void SetUp() override {
    LeafTest::SetUp();
    if (IsSkipped()) return;
    job_.runtime_root = temp_.path();
    job_.sandbox_id = "sandbox";
    pod_holder_.emplace(CLONE_NEWIPC);
    ASSERT_TRUE(pod_holder_->ready());
    pod_.targets.push_back(Target("app", pod_holder_->init()));
    pod_.targets[0].requested.id = "app-1";
    WriteState("app-1", pod_holder_->init());
  }
  void WriteState(const std::string& id, pid_t init) const {
    const uint64_t start = ReadProcessInfo(init)->start_time_ticks;
    const nlohmann::json state = {{"id", id},
                                  {"init_process_pid", init},
                                  {"init_process_start", start},
                                  {"cgroup_paths", nlohmann::json::object()},
                                  {"external_descriptors", {"/dev/null", "/dev/null", "/dev/null"}},
                                  {"config",
                                   {{"rootfs", "/"},
                                    {"namespaces", nlohmann::json::array()},
                                    {"mounts", nlohmann::json::array()},
                                    {"mask_paths", nlohmann::json::array()},
                                    {"readonly_paths", nlohmann::json::array()},
                                    {"devices", nlohmann::json::array()}}}};
    std::filesystem::create_directory(temp_.path() / id);
    cryopod::test::WriteText(temp_.path() / id / "state.json", state.dump());
  }
  NamespaceHolder::Act Join() const {
    return [this] {
      const UniqueFd pidfd = OpenPidfd(pod_holder_->init()).value();
      return ::setns(pidfd.get(), CLONE_NEWIPC) == 0;
    };
  }

  cryopod::test::TempDirectory temp_;
  jobs::CheckpointJob job_;
  ResolvedPod pod_;
  std::optional<NamespaceHolder> pod_holder_;
};

TEST_F(LateContainersTest, ThoseThatWereDumpedTheSandboxAndOtherPodsAreNone) {
  const NamespaceHolder pause(Join(), {});
  WriteState("sandbox", pause.init());
  const NamespaceHolder other_pod(CLONE_NEWIPC);
  WriteState("other-1", other_pod.init());
  const NamespaceHolder of_the_node([] { return true; }, {});
  WriteState("node-1", of_the_node.init());

  EXPECT_THAT(CheckNoneIsLate(job_, pod_), IsOk());
}

TEST_F(LateContainersTest, OneThatWasStartedMeanwhileIsNamed) {
  const NamespaceHolder late(Join(), {});
  WriteState("app-2", late.init());

  const Status status = CheckNoneIsLate(job_, pod_);

  EXPECT_THAT(status, StatusIs(Code::kFailedPrecondition, HasSubstr("app-2")));
  EXPECT_EQ(status.reason(), Reason::kPodChanged);
}

TEST_F(LateContainersTest, OneThatHasEndedAndOneThatIsBeingMadeAreNone) {
  {
    const NamespaceHolder ended(Join(), {});
    WriteState("app-2", ended.init());
  }
  std::filesystem::create_directory(temp_.path() / "app-3");

  EXPECT_THAT(CheckNoneIsLate(job_, pod_), IsOk());
}

}  // namespace
}  // namespace cryopod::checkpoint
