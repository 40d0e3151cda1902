#include "agent/checkpoint/node_facts.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "agent/os/file.h"

namespace cryopod::checkpoint {

std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo) {
  std::istringstream lines{std::string(cpuinfo)};
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::istringstream words(line.substr(colon + 1));
    std::vector<std::string> flags;
    for (std::string word; words >> word;) flags.push_back(word);
    std::sort(flags.begin(), flags.end());
    return flags;
  }
  return {};
}

Result<archive::NodeFacts> ReadNodeFacts() {
  utsname names{};
  if (::uname(&names) != 0) return ErrnoStatus(errno, "uname", "node");
  CRYOPOD_ASSIGN_OR_RETURN(const std::string cpuinfo, ReadFile("/proc/cpuinfo"));
  archive::NodeFacts facts;
  facts.architecture = names.machine;
  facts.kernel = names.release;
  facts.cpu_flags = ParseCpuFlags(cpuinfo);
  return facts;
}

}  // namespace cryopod::checkpoint
