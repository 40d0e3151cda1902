#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "agent/os/deadline.h"
#include "agent/os/proc.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"
#include "restore/runtime/protocol/key_values.h"

// One check a requirement. Those without a deadline ask nobody: tests hand in kernels and runtimes
// that no lab has.
namespace cryopod::node {

inline constexpr char kHandler[] = "cryopod";

// What a check has seen of one requirement.
struct Finding {
  std::string found;
  std::string reason;  // empty: the requirement is met
  std::string remedy;

  static Finding Met(std::string found) { return {std::move(found), "", ""}; }
  static Finding Lacking(std::string found, std::string reason, std::string remedy) {
    return {std::move(found), std::move(reason), std::move(remedy)};
  }
};

// check_machine.cc: what the kernel gives.

// `release` as uname -r says: "6.18.0-12-generic".
Finding CheckKernel(const std::string& release);
// `version` of Machine::cgroup_version: "v1", "v2", or empty.
Finding CheckFreezer(const std::string& version);
// Those of the process that starts operations. CAP_SYS_RESOURCE may be absent: then only root's
// processes can be dumped, and what was found says so.
Finding CheckCapabilities(const CapabilitySets& capabilities);
// Memory that is available for staging a dump.
Finding CheckStagingMemory(uint64_t available_bytes);
// `version` of Landlock, 0: none. Without it archives of other nodes are refused, unless the
// configuration takes them all the same.
Finding CheckLandlock(int version, const settings::AgentSettings& settings);

// check_programs.cc

Finding CheckCriu(const settings::AgentSettings& settings, Deadline deadline);
// Asks CRIU whether it can work on this kernel.
Finding CheckCriuFeatures(const settings::AgentSettings& settings, Deadline deadline);
// Asks CRIU to load our library. Without it restores work as well, and what was found says how.
Finding CheckCriuPlugin(const settings::AgentSettings& settings, Deadline deadline);
// cryopod-checkpoint and cryopod-restore are where this installation has them.
Finding CheckInnerPrograms(const settings::AgentSettings& settings);
// Lets cryopod-unpack give up its rights and unpack a blob that holds nothing.
Finding CheckUnpack(const settings::AgentSettings& settings, Deadline deadline);
// cryopod-runtime can reach the agent at the runtime socket.
Finding CheckRuntimeSocket(const settings::AgentSettings& settings, Deadline deadline);

// check_storage.cc

// The agent's directories: there, ours, and closed to others where the memory of processes lies.
Finding CheckDirectories(const settings::AgentSettings& settings);
// Room for archives in the state directory.
Finding CheckDiskSpace(const settings::AgentSettings& settings);

// check_container_runtime.cc: what the container runtime that runs says of itself.

Finding CheckRuntimeVersion(const cri::RuntimeVersion& version);
Finding CheckSnapshotter(const cri::RuntimeConfiguration& configuration);
Finding CheckHandler(const cri::RuntimeConfiguration& configuration);
// The annotations that ask for a restore, and the one that tells a restart from a start.
Finding CheckAnnotations(const cri::RuntimeConfiguration& configuration);

// check_wrapper.cc

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
