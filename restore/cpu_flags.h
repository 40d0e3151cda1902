#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cryopod::restore {

// Does a program see this flag? False for those that describe the kernel's work (power, errata,
// virtualization, monitoring): a process does not care whether its next machine has them. An
// unknown flag counts as an instruction set. Source: Linux 6.1 arch/x86/include/asm/cpufeatures.h.
bool IsProgramVisible(std::string_view flag);

// What `source` has and `target` lacks, of the flags that a program sees. Both are sorted.
std::vector<std::string> MissingCpuFlags(const std::vector<std::string>& source,
                                         const std::vector<std::string>& target);

}  // namespace cryopod::restore
