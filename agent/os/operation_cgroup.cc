#include "agent/os/operation_cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agent/os/cgroup.h"
#include "agent/os/cgroup_paths.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr char kTop[] = "cryopod";
// The last operation of a hierarchy takes the common parent with it, perhaps under our hands.
constexpr int kCreateTries = 8;

Status CheckName(const std::string& name) {
  if (IsPlainName(name)) return Status();
  return Status(Code::kInvalidArgument, "\"" + name + "\" cannot name a cgroup");
}

// The first mount of each hierarchy.
Result<std::vector<CgroupMount>> Hierarchies() {
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<CgroupMount> mounts, ReadCgroupMounts());
  std::set<std::string> seen;
  std::erase_if(mounts,
                [&seen](const auto& mount) { return !seen.insert(mount.controllers).second; });
  return mounts;
}

// A cpuset of v1 without CPUs or memory nodes takes no process. It gets its parent's.
Status InheritCpuset(int parent_fd, int dir_fd) {
  for (const std::string file : {"cpuset.cpus", "cpuset.mems"}) {
    const Result<std::string> own = ReadFileAt(dir_fd, file);
    if (!own.ok() && own.status().code() == Code::kNotFound) continue;  // not a cpuset
    if (!own.ok()) return own.status();
    if (own->find_first_not_of(" \n") != std::string::npos) continue;
    CRYOPOD_ASSIGN_OR_RETURN(const std::string parents, ReadFileAt(parent_fd, file));
    CRYOPOD_RETURN_IF_ERROR(WriteControlFileAt(dir_fd, file, parents));
  }
  return Status();
}

Result<UniqueFd> MakeCgroup(int parent_fd, const std::string& name, bool is_v1) {
  const Status made = MakeDirectoryAt(parent_fd, name, 0755);
  if (!made.ok() && made.code() != Code::kAlreadyExists) return made;
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd dir, OpenAt(parent_fd, name, O_DIRECTORY | O_RDONLY));
  if (is_v1) CRYOPOD_RETURN_IF_ERROR(InheritCpuset(parent_fd, dir.get()));
  return dir;
}

Result<UniqueFd> CreateIn(const CgroupMount& mount, const std::string& name) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd root, OpenDirectory(mount.path));
  const bool is_v1 = !mount.controllers.empty();
  for (int tries = 1; true; ++tries) {
    Result<UniqueFd> top = MakeCgroup(root.get(), kTop, is_v1);
    Result<UniqueFd> dir = top.ok() ? MakeCgroup(top->get(), name, is_v1) : std::move(top);
    if (dir.ok() || dir.status().code() != Code::kNotFound || tries == kCreateTries) {
      return std::move(dir).While("making " + mount.path + "/" + kTop + "/" + name);
    }
  }
}

Status KillIn(const std::string& path, Deadline deadline) {
  Result<Cgroup> cgroup = Cgroup::Open(path);
  if (!cgroup.ok()) return cgroup.status().code() == Code::kNotFound ? Status() : cgroup.status();
  return cgroup->Kill(deadline);
}

Status RemoveIn(const CgroupMount& mount, const std::string& name, Deadline deadline) {
  const std::string top_path = mount.path + "/" + kTop;
  const Result<UniqueFd> top = OpenDirectory(top_path);
  if (!top.ok()) return top.status().code() == Code::kNotFound ? Status() : top.status();
  CRYOPOD_RETURN_IF_ERROR(RemoveCgroupAt(top->get(), name, deadline));
  // The last one out removes the parent; it stays while there are others.
  ::rmdir(top_path.c_str());
  return Status();
}

}  // namespace

Result<std::vector<UniqueFd>> MakeOperationCgroup(const std::string& name) {
  CRYOPOD_RETURN_IF_ERROR(CheckName(name));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<CgroupMount> mounts, Hierarchies());
  std::vector<UniqueFd> dirs;
  Status last(Code::kFailedPrecondition, "no cgroup hierarchy is mounted");
  for (const CgroupMount& mount : mounts) {
    Result<UniqueFd> dir = CreateIn(mount, name);
    last = dir.status();
    if (dir.ok()) dirs.push_back(std::move(dir).value());
  }
  if (dirs.empty()) return last.While("making a cgroup for operation " + name);
  return dirs;
}

Status RemoveOperationCgroup(const std::string& name, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(CheckName(name));
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<CgroupMount> mounts, Hierarchies());
  // Those that kill without letting anything run come first: the others then find nothing.
  std::stable_partition(mounts.begin(), mounts.end(), [](const CgroupMount& mount) {
    return mount.controllers.empty() || HasController(mount.controllers, "freezer");
  });
  Status first_error;
  const auto keep = [&first_error](Status status) {
    if (!status.ok() && first_error.ok()) first_error = std::move(status);
  };
  for (const CgroupMount& mount : mounts) {
    keep(KillIn(mount.path + "/" + kTop + "/" + name, deadline));
  }
  for (const CgroupMount& mount : mounts) keep(RemoveIn(mount, name, deadline));
  return first_error.While("removing the cgroups of operation " + name);
}

}  // namespace cryopod
