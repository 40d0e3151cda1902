#pragma once

#include <memory>

#include "agent/api/client.h"
#include "agent/daemon/sockets/agent_socket.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon::test {

// The agent with both of its sockets and all that it serves.
class AgentServerFixture : public AgentFixture {
 protected:
  AgentServerFixture() {
    config_.criu_program = temp_.path() / "criu";
    std::filesystem::create_symlink(CRYOPOD_FAKE_CRIU, config_.criu_program);
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "cgroups and giving files away need root";
  }
  void TearDown() override { agent_.reset(); }
  void Start() {
    Result<std::unique_ptr<AgentServer>> server = AgentServer::Start(parts_);
    ASSERT_THAT(server, cryopod::test::IsOk());
    agent_ = std::move(server).value();
  }
  static api::ProgressSink Ignore() {
    return [](const api::Progress&) {};
  }

  CheckpointOperations checkpoints_{config_, runtime_, operations_, metrics_};
  RestoreOperations restores_{config_, operations_, metrics_};
  PodRestores pods_{{config_, runtime_, operations_, restores_, metrics_}};
  const AgentServer::Parts parts_{config_, runtime_, operations_, checkpoints_, pods_, metrics_};
  std::unique_ptr<AgentServer> agent_;
};

}  // namespace cryopod::daemon::test
