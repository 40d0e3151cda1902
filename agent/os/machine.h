#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/os/cpu.h"
#include "agent/os/status.h"

namespace cryopod {

// What a checkpoint depends on in the machine that it was taken on.
struct Machine {
  std::string architecture;            // uname -m
  std::string kernel;                  // uname -r
  std::string cgroup_version;          // "v1", "v2"; empty when nothing is mounted that can freeze
  std::vector<std::string> cpu_flags;  // of the first processor, sorted
  CpuWords cpu;
};

Result<Machine> ReadMachine();

// Pure: the flags of the first processor in the text of /proc/cpuinfo, sorted.
std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo);

// Pure: where containers are frozen, by the text of mountinfo. The same choice as Cgroup makes: v1
// where its freezer is mounted, else v2; empty when neither is.
std::string FreezingHierarchy(std::string_view mountinfo);

}  // namespace cryopod
