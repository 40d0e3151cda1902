#include "agent/daemon/operations/gone_pods.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/agent/daemon/daemon_fixture.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::SampleRecord;
using std::chrono::hours;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class GonePodsTest : public test::AgentFixture {
 protected:
  GonePodsTest() : restores_(agent_), gone_(agent_, restores_, temp_.path() / "kubelet") {}

  void Record(const std::string& uid) {
    ASSERT_THAT(wrapper::AddConsumed(config_.state_dir, uid, SampleRecord("a", {"app"})), IsOk());
  }
  std::string AddSandbox(const std::string& uid) {
    return server_.AddPod(
        R"({"metadata": {"name": "web", "namespace": "shop", "uid": ")" + uid + "\"}}", "cryopod");
  }
  // As for a sandbox whose wrapper hears that it cannot be.
  void BeginRestore(const std::string& uid) {
    wrapper::Request request;
    request.kind = wrapper::Request::Kind::kSandbox;
    request.pod_name = "web";
    request.pod_namespace = "shop";
    request.pod_uid = uid;
    request.restore_from = "a";
    int fds[2] = {-1, -1};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    const UniqueFd wrapper(fds[0]);
    restores_.Serve(UniqueFd(fds[1]), wrapper::Serialize(request));
    EXPECT_THAT(wrapper::ReceiveAnswer(wrapper.get(), Soon()), IsOk());
  }
  void LookAfter(std::chrono::nanoseconds time) { gone_.Look(now_ += time); }
  Result<std::vector<std::string>> Recorded() const {
    return wrapper::ListConsumed(config_.state_dir);
  }

  RestoreOperations restores_;
  GonePods gone_;
  Deadline::Clock::time_point now_ = Deadline::Clock::now();
};

TEST_F(GonePodsTest, ItsRecordsGoWithAPodThatHasBeenGoneForLong) {
  for (const char* uid : {"gone", "there", "kubelets"}) Record(uid);
  AddSandbox("there");
  std::filesystem::create_directories(temp_.path() / "kubelet" / "kubelets");

  LookAfter(seconds(0));
  LookAfter(hours(1) - seconds(1));
  EXPECT_THAT(Recorded(), IsOkAnd(ElementsAre("gone", "kubelets", "there")));
  LookAfter(seconds(1));

  EXPECT_THAT(Recorded(), IsOkAnd(ElementsAre("kubelets", "there")));
}

TEST_F(GonePodsTest, APodBetweenTwoSandboxesIsThere) {
  Record("u-1");
  LookAfter(seconds(0));
  const std::string sandbox = AddSandbox("u-1");
  LookAfter(seconds(1));
  ASSERT_THAT(runtime_.RemovePodSandbox(sandbox, Soon()), IsOk());

  LookAfter(hours(1));
  EXPECT_THAT(Recorded(), IsOkAnd(ElementsAre("u-1"))) << "not seen for a moment only";
  LookAfter(hours(1));

  EXPECT_THAT(Recorded(), IsOkAnd(IsEmpty()));
}

TEST_F(GonePodsTest, ARuntimeThatDoesNotAnswerSaysNothing) {
  Record("u-1");
  LookAfter(seconds(0));
  server_.FailNext("ListPodSandbox", Code::kUnavailable, "it starts");
  LookAfter(hours(1));

  LookAfter(hours(1) - seconds(1));

  EXPECT_THAT(Recorded(), IsOkAnd(ElementsAre("u-1")));
}

TEST_F(GonePodsTest, ARestoreIsEndedWhosePodIsGone) {
  if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
  ASSERT_THAT(test::MakeSampleArchive(config_.store_root(), "a", {"app"}), IsOk());
  BeginRestore("u-1");
  ASSERT_THAT(restores_.ListPods(), ElementsAre("u-1"));
  LookAfter(seconds(0));
  LookAfter(GonePods::kRestoreTimeout - seconds(1));
  restores_.Sweep();
  EXPECT_THAT(restores_.ListPods(), ElementsAre("u-1")) << "it may only be late";

  LookAfter(seconds(1));

  EXPECT_TRUE(Eventually([&] {
    restores_.Sweep();
    return Jobs().empty();
  }));
}

}  // namespace
}  // namespace cryopod::daemon
