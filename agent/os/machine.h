#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod {

// What a processor offers to programs, in words of bits: lower-case hexadecimal by name. On x86-64
// CPUID's registers ("7.0.ebx") and XCR0, with the place of every part of the state that XSAVE
// saves ("xstate2.size", "xstate2.offset"); elsewhere "hwcap" and "hwcap2" of getauxval(3).
using CpuWords = std::map<std::string, std::string>;

CpuWords ReadCpu();

// Pure: what a program may use on `source` and not on `target`: "avx2 (7.0.ebx bit 5)". A place of
// state that differs is named, too: CRIU restores XSAVE areas byte for byte. A word that `target`
// does not have counts as empty; bits that only kernels and hypervisors use do not count.
// Source: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; both as of 2024.
std::vector<std::string> MissingFrom(const CpuWords& target, const CpuWords& source);

// What a checkpoint depends on in the machine that it was taken on.
struct Machine {
  std::string architecture;            // uname -m
  std::string kernel;                  // uname -r
  std::string cgroup_version;          // "v1", "v2"; empty when nothing is mounted that can freeze
  std::vector<std::string> cpu_flags;  // of the first processor, sorted
  CpuWords cpu;
  bool operator==(const Machine&) const = default;
};

Result<Machine> ReadMachine();

// Pure: the flags of the first processor in the text of /proc/cpuinfo, sorted.
std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo);

}  // namespace cryopod
