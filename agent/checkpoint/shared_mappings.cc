#include "agent/checkpoint/shared_mappings.h"

#include <vector>

#include "agent/os/proc.h"

namespace cryopod::checkpoint {

Result<std::set<std::string>> SharedWritableFiles(const Cgroup& cgroup) {
  std::set<std::string> paths;
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroup.Processes());
  for (const pid_t pid : pids) {
    const Result<std::vector<FileMapping>> mappings = ReadFileMappings(pid);
    if (!mappings.ok()) continue;  // it has ended meanwhile
    for (const FileMapping& mapping : *mappings) {
      const std::string& permissions = mapping.permissions;
      const bool shared_and_writable =
          permissions.size() == 4 && permissions[1] == 'w' && permissions[3] == 's';
      if (shared_and_writable && mapping.path.starts_with('/'))
        paths.insert(mapping.path.substr(1));
    }
  }
  return paths;
}

}  // namespace cryopod::checkpoint
