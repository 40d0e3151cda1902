#include "agent/os/machine.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>

#include "agent/os/cgroup.h"
#include "agent/os/cgroup_paths.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod {

std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo) {
  for (const std::string_view line : SplitLines(cpuinfo)) {
    // x86 says flags, ARM says Features.
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::vector<std::string> flags;
    for (const std::string_view word : SplitWords(line.substr(colon + 1))) flags.emplace_back(word);
    std::sort(flags.begin(), flags.end());
    return flags;
  }
  return {};
}

std::string FreezingHierarchy(std::string_view mountinfo) {
  std::string version;
  for (const CgroupMount& mount : ParseCgroupMounts(mountinfo)) {
    const std::vector<std::string_view> controllers = Split(mount.controllers, ',');
    if (std::find(controllers.begin(), controllers.end(), "freezer") != controllers.end()) {
      return "v1";
    }
    if (mount.controllers.empty()) version = "v2";
  }
  return version;
}

Result<Machine> ReadMachine() {
  utsname names{};
  if (::uname(&names) != 0) return ErrnoStatus(errno, "uname", "this machine");
  CRYOPOD_ASSIGN_OR_RETURN(const std::string cpuinfo, ReadFile("/proc/cpuinfo"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  return Machine{names.machine, names.release, FreezingHierarchy(mountinfo), ParseCpuFlags(cpuinfo),
                 ReadCpu()};
}

}  // namespace cryopod
