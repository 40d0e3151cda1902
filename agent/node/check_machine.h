#pragma once

#include <cstdint>
#include <string>

#include "agent/node/requirement_list.h"
#include "agent/os/proc.h"

// What the kernel gives. Pure: tests hand in kernels that no lab has.
namespace cryopod::node {

// `release` as uname -r says: "6.18.0-12-generic".
Finding CheckKernel(const std::string& release);

// `version` of Machine::cgroup_version: "v1", "v2", or empty.
Finding CheckFreezer(const std::string& version);

// Those of the process that starts operations. CAP_SYS_RESOURCE may be absent: then only root's
// processes can be dumped, and what was found says so.
Finding CheckCapabilities(const CapabilitySets& capabilities);

// Memory that is available for staging a dump.
Finding CheckStagingMemory(uint64_t available_bytes);

}  // namespace cryopod::node
