#pragma once

#include <string>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// A cgroup of our own, beside everybody else's: made in every v1 hierarchy that is mounted, and in
// the unified one, so that no limit or kill of the agent's own cgroup reaches what runs in it.
class OperationCgroup {
 public:
  // "cryopod/<name>" in each hierarchy. An existing one is used again.
  static Result<OperationCgroup> Create(const std::string& name);
  // Directories to pass as SpawnOptions::cgroup_dir_fds.
  std::vector<int> dir_fds() const;
  // Kills what is left in the cgroups of `name` and removes them; absent is success.
  static Status Remove(const std::string& name, Deadline deadline);
  // The operations that have a cgroup.
  static Result<std::vector<std::string>> List();

 private:
  std::vector<UniqueFd> dirs_;
};

}  // namespace cryopod
