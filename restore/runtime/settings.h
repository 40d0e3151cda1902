#pragma once

#include <chrono>
#include <string>

#include "agent/os/status.h"

namespace cryopod::wrapper {

// What nobody tells the wrapper while the agent is away. `agent_socket` and `state_dir` follow from
// cryopod.toml: `cryopodctl node install` writes them, `node check` compares them.
//
// Shape   /etc/cryopod/runtime.conf, key=value lines as in restore/runtime/protocol/key_values.h;
//         without the file the values below hold. CRYOPOD_RUNTIME_CONFIG names another file.
struct Settings {
  std::string runtime = "runc";  // a path, or a name looked up in PATH
  std::string agent_socket = "/run/cryopod/runtime.sock";
  std::string state_dir = "/var/lib/cryopod";
  // The kubelet gives `create` 120 s and then kills the wrapper: what has to be ended is ended
  // before that.
  std::chrono::milliseconds answer_timeout{110'000};
  std::chrono::milliseconds create_timeout{115'000};
};

// Errors: kInvalidArgument (unknown key, bad value; names file and key).
Result<Settings> ReadSettings();
Result<Settings> ParseSettings(const std::string& text);

}  // namespace cryopod::wrapper
