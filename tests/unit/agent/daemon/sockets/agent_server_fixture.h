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
  void TearDown() override { agent_server_.reset(); }
  void Start() {
    Result<ServedSocket> served = ServeAgent(agent_, checkpoints_, pods_);
    ASSERT_THAT(served, cryopod::test::IsOk());
    agent_server_ = std::move(served).value();
  }

  CheckpointOperations checkpoints_{agent_};
  RestoreOperations restores_{agent_};
  PodRestores pods_{agent_, restores_};
  ServedSocket agent_server_;
};

}  // namespace cryopod::daemon::test
