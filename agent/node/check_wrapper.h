#pragma once

#include <string>

#include "agent/node/requirement_list.h"
#include "agent/os/deadline.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"
#include "restore/runtime/protocol/key_values.h"

namespace cryopod::node {

// What the handler's program says of itself.
struct WrapperAnswer {
  Finding program;            // is it cryopod-runtime?
  wrapper::KeyValues values;  // of self_check_command.h; empty when it is not
};

// Runs the program that containerd's handler names, with the one argument that makes it speak of
// itself.
WrapperAnswer AskWrapper(const cri::RuntimeConfiguration& configuration, Deadline deadline);

// The wrapper finds runc 1.1 or newer, and its settings agree with the agent's.
Finding CheckOciRuntime(const wrapper::KeyValues& values, const settings::AgentSettings& settings,
                        Deadline deadline);

}  // namespace cryopod::node
