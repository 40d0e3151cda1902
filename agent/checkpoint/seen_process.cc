#include "agent/checkpoint/seen_process.h"

#include <utility>

namespace cryopod::checkpoint {

Result<SeenProcess> LookAtProcess(pid_t pid) {
  SeenProcess seen;
  CRYOPOD_ASSIGN_OR_RETURN(seen.info, ReadProcessInfo(pid));
  std::vector<std::string> names = {"cwd", "root", "exe"};
  const Result<std::vector<int>> descriptors = ListDescriptors(pid);
  if (descriptors.ok()) {
    for (const int number : *descriptors) names.push_back("fd/" + std::to_string(number));
  }
  for (std::string& name : names) {
    Result<std::string> target = ReadProcLink(pid, name);
    if (target.ok()) seen.links.push_back({std::move(name), std::move(target).value()});
  }
  return seen;
}

Result<std::vector<SeenProcess>> LookAtProcesses(const Cgroup& cgroup) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroup.Processes());
  std::vector<SeenProcess> processes;
  for (const pid_t pid : pids) {
    Result<SeenProcess> seen = LookAtProcess(pid);
    if (seen.ok()) processes.push_back(std::move(seen).value());
  }
  return processes;
}

}  // namespace cryopod::checkpoint
