#include "agent/ctl/pod_requests.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/ctl/answers.h"
#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/node_install.h"
#include "agent/os/file.h"
#include "tests/fakes/fake_cri_server.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/ctl/install/node_fixture.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;
using test::IsOk;
using test::ReadText;
using test::Soon;
using test::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

class PodRequestsTest : public test::NodeFixture {
 protected:
  // The example that an installation brings, with its log in the test's own folder.
  std::string Request() const {
    json request = json::parse(ReadText(paths_.share_dir() + "/example/pod.json"), nullptr, false);
    request["config"]["log_directory"] = Path("logs/counter");
    return request.dump();
  }

  const std::string socket_ = Path("cri.sock");
  test::FakeCriServer server_{socket_};
};

TEST_F(PodRequestsTest, TheExampleRuns) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RunningPod pod, RunPod(socket_, Request(), "cryopod", Soon()));

  ASSERT_EQ(server_.sandbox_ids().size(), 1u);
  EXPECT_EQ(pod.sandbox_id, server_.sandbox_ids()[0]);
  ASSERT_EQ(pod.containers.count("counter"), 1u);
  EXPECT_EQ(server_.container_state(pod.containers.at("counter")), cri::ContainerState::kRunning);
  EXPECT_TRUE(PathExists(Path("logs/counter")));
  const std::string id = pod.containers.at("counter");
  EXPECT_EQ(ToText(pod),
            "pod sandbox " + pod.sandbox_id + "\n\nCONTAINER  ID\ncounter    " + id + "\n");
  EXPECT_EQ(ToJson(pod), "{\n  \"containers\": {\n    \"counter\": \"" + id +
                             "\"\n  },\n  \"pod_sandbox_id\": \"" + pod.sandbox_id + "\"\n}\n");
}

TEST_F(PodRequestsTest, APodThatDoesNotComeUpIsRemovedAgainOrNamed) {
  server_.FailNext("StartContainer", Code::kUnknown, "no such program");
  EXPECT_THAT(RunPod(socket_, Request(), "", Soon()),
              StatusIs(Code::kUnknown, HasSubstr("no such program")));
  EXPECT_THAT(server_.sandbox_ids(), ElementsAre());

  server_.FailNext("StartContainer", Code::kUnknown, "no such program");
  server_.FailNext("StopPodSandbox", Code::kUnknown, "stuck");
  const Status status = RunPod(socket_, Request(), "", Soon()).status();
  EXPECT_THAT(status, StatusIs(Code::kUnknown, HasSubstr("stuck")));
  EXPECT_THAT(status.message(), HasSubstr(server_.sandbox_ids().at(0)));
}

TEST_F(PodRequestsTest, ABadRequestReachesNoRuntime) {
  EXPECT_THAT(RunPod(socket_, "{}", "", Soon()), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(RunPod(socket_, "no json", "", Soon()), StatusIs(Code::kInvalidArgument));

  EXPECT_THAT(server_.calls(), ElementsAre());
}

TEST_F(PodRequestsTest, APodIsRemovedByItsName) {
  ASSERT_THAT(RunPod(socket_, Request(), "cryopod", Soon()), IsOk());

  EXPECT_THAT(RemovePod(socket_, "default/counter", Soon()), IsOk());

  EXPECT_THAT(server_.sandbox_ids(), ElementsAre());
  EXPECT_THAT(RemovePod(socket_, "default/counter", Soon()), StatusIs(Code::kNotFound));
}

TEST_F(PodRequestsTest, UninstallingWarnsOfPodsThatNeedTheRuntime) {
  test::WriteText(paths_.containerd_config, "version = 3\n");
  paths_.agent.containerd_socket = socket_;
  ASSERT_THAT(RunPod(socket_, Request(), "cryopod", Soon()), IsOk());
  const auto install = [&](ChangeReport& report) { return InstallNode(paths_, {}, report); };
  const auto uninstall = [&](ChangeReport& report) { return UninstallNode(paths_, {}, report); };
  ASSERT_THAT(Run(install), IsOk());

  ASSERT_THAT(Run(uninstall), IsOk());

  EXPECT_THAT(said_, HasSubstr("warning: pods of the handler cryopod are still there: "
                               "default/counter"));
  EXPECT_THAT(said_, HasSubstr(paths_.runtime_program()));
}

}  // namespace
}  // namespace cryopod::ctl
