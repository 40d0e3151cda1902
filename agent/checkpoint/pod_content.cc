#include "agent/checkpoint/pod_content.h"

#include <fcntl.h>

#include <chrono>
#include <set>

#include "agent/os/deadline.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/namespaces.h"
#include "agent/os/proc.h"

namespace cryopod::checkpoint {
namespace {

constexpr std::chrono::seconds kNamespaceTimeout{5};

// The first names in a directory and how many there are: "a, b and 7 more".
std::string NamesIn(const std::vector<DirectoryEntry>& entries) {
  static constexpr size_t kNamesMax = 3;
  std::string names;
  for (size_t i = 0; i < entries.size() && i < kNamesMax; ++i) {
    names += (i == 0 ? "" : ", ") + entries[i].name;
  }
  if (entries.size() > kNamesMax) {
    names += " and " + std::to_string(entries.size() - kNamesMax) + " more";
  }
  return names;
}

std::string InContainer(const DumpTarget& target, const std::string& path) {
  return "/proc/" + std::to_string(target.state.init_pid) + "/root" + path;
}

Status AddEmptyDirs(const DumpTarget& target, std::set<std::string>& seen,
                    std::vector<std::string>& found) {
  for (const archive::MountRecord& mount : target.requested.mounts) {
    if (!IsEmptyDirVolume(mount.source) || !seen.insert(mount.source).second) continue;
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                             ListDirectory(mount.source));
    if (entries.empty()) continue;
    found.push_back("container " + target.requested.name + ": the emptyDir volume at " +
                    mount.destination + " holds files (" + NamesIn(entries) + ")");
  }
  return Status();
}

// /dev/shm and /dev/mqueue, each of which a pod's containers may share: told apart by the device
// behind the mount.
Status AddSharedDirectory(const DumpTarget& target, const std::string& path,
                          const std::string& what, std::set<std::string>& seen,
                          std::vector<std::string>& found) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts,
                           ReadMountInfo(target.state.init_pid));
  std::string device;
  for (const MountEntry& mount : mounts) {
    if (mount.mount_point == path) device = mount.device;
  }
  if (device.empty() || !seen.insert(device).second) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                           ListDirectory(InContainer(target, path)));
  if (entries.empty()) return Status();
  found.push_back("container " + target.requested.name + ": " + what + " (" + NamesIn(entries) +
                  ")");
  return Status();
}

Status AddSysVIpc(const DumpTarget& target, std::set<uint64_t>& seen,
                  std::vector<std::string>& found) {
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t inode, NamespaceInode(target.state.init_pid, "ipc"));
  if (!seen.insert(inode).second) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd ipc,
      OpenAt(AT_FDCWD, "/proc/" + std::to_string(target.state.init_pid) + "/ns/ipc", O_RDONLY));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string objects,
                           ListSysVIpc(ipc.get(), Deadline::After(kNamespaceTimeout)));
  if (objects.empty()) return Status();
  found.push_back("the pod has System V IPC objects (" + objects.substr(0, objects.find('\n')) +
                  (objects.find('\n') + 1 < objects.size() ? ", …)" : ")"));
  return Status();
}

}  // namespace

bool IsEmptyDirVolume(const std::string& host_path) {
  static constexpr std::string_view kKind = "/volumes/kubernetes.io~empty-dir/";
  const size_t at = host_path.find(kKind);
  return at != std::string::npos && at + kKind.size() < host_path.size();
}

Result<std::vector<std::string>> UncarriedContent(const ResolvedPod& pod) {
  std::vector<std::string> found;
  std::set<std::string> volumes;
  std::set<std::string> devices;
  std::set<uint64_t> ipc_namespaces;
  for (const DumpTarget& target : pod.targets) {
    CRYOPOD_RETURN_IF_ERROR(AddEmptyDirs(target, volumes, found));
    CRYOPOD_RETURN_IF_ERROR(
        AddSharedDirectory(target, "/dev/shm", "/dev/shm holds files", devices, found));
    CRYOPOD_RETURN_IF_ERROR(
        AddSharedDirectory(target, "/dev/mqueue", "POSIX message queues exist", devices, found));
    CRYOPOD_RETURN_IF_ERROR(AddSysVIpc(target, ipc_namespaces, found));
  }
  return found;
}

}  // namespace cryopod::checkpoint
