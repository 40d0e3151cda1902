#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/archive/pod_checkpoint.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// What another node must match: architecture, kernel, CPU flags; the versions are handed in.
Result<archive::NodeFacts> ReadNodeFacts();

// Pure: the flags of the first processor in /proc/cpuinfo, sorted.
std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo);

}  // namespace cryopod::checkpoint
