#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod {

// One line of mountinfo. Source: proc_pid_mountinfo(5).
struct MountEntry {
  int mount_id = 0;
  int parent_id = 0;
  std::string device;  // "8:1"
  std::string root;
  std::string mount_point;  // octal escapes undone
  std::string mount_options;
  std::string file_system_type;
  std::string source;
  std::string super_options;
};
Result<std::vector<MountEntry>> ReadMountInfo(pid_t pid);
Result<std::vector<MountEntry>> ParseMountInfo(std::string_view text);

}  // namespace cryopod
