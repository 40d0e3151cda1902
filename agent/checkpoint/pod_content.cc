#include "agent/checkpoint/pod_content.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "agent/os/deadline.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount_info.h"
#include "agent/os/namespaces.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

// The first names, as JSON can hold them, and how many more there are.
std::string NamesIn(std::vector<std::string> names) {
  static constexpr size_t kNamesMax = 3;
  static constexpr size_t kNameBytesShown = 80;
  for (std::string& name : names) name = Printable(name, kNameBytesShown);
  return JoinFirst(names, kNamesMax);
}

std::string InContainer(const DumpTarget& target, const std::string& path) {
  return "/proc/" + std::to_string(target.state.init_pid) + "/root" + path;
}

// One volume of the pod, wherever its containers mount it.
struct Volume {
  const DumpTarget* target;  // the first container that mounts it, and where
  const PlacedMount* mount;
  std::set<std::string> mounted;  // paths in the volume
};

std::vector<Volume> VolumesOf(const ResolvedPod& pod) {
  std::vector<Volume> volumes;
  std::map<std::string, size_t> known;  // by directory on the node
  for (const DumpTarget& target : pod.targets) {
    for (const PlacedMount& mount : target.mounts) {
      if (mount.volume_dir.empty()) continue;
      const auto [at, is_new] = known.try_emplace(mount.volume_dir, volumes.size());
      if (is_new) volumes.push_back({&target, &mount, {}});
      volumes[at->second].mounted.insert(mount.path_in_volume);
    }
  }
  return volumes;
}

// Everything but directories that are mounted or lie on the way to one that is.
Status AddContent(int dir_fd, const std::string& prefix, const std::set<std::string>& mounted,
                  std::vector<std::string>& names) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  for (const DirectoryEntry& entry : entries) {
    const std::string path = prefix + entry.name;
    const bool leads_to_mounted = std::ranges::any_of(
        mounted, [&path](const std::string& one) { return IsAtOrBelow(one, path); });
    if (entry.type != DT_DIR || !leads_to_mounted) {
      names.push_back(path);
      continue;
    }
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory,
                             OpenAt(dir_fd, entry.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    CRYOPOD_RETURN_IF_ERROR(AddContent(directory.get(), path + "/", mounted, names));
  }
  return Status();
}

// All of the volume where the node shows it, else what the container sees of it.
Result<std::vector<std::string>> ContentOf(const Volume& volume) {
  const PlacedMount& mount = *volume.mount;
  const std::string seen = InContainer(*volume.target, mount.mount_point);
  std::vector<std::string> names;
  const std::string place =
      mount.volume_dir + (mount.path_in_volume.empty() ? "" : "/" + mount.path_in_volume);
  const bool on_node = IsSameFile(place, seen);
  Result<UniqueFd> directory = OpenDirectory(on_node ? mount.volume_dir : seen);
  if (directory.ok()) {
    CRYOPOD_RETURN_IF_ERROR(AddContent(directory->get(), "",
                                       on_node ? volume.mounted : std::set<std::string>(), names));
    return names;
  }
  struct stat status {};
  // A subPath may lead to a file.
  if (::stat(seen.c_str(), &status) != 0 || S_ISDIR(status.st_mode)) return directory.status();
  return std::vector<std::string>{mount.path_in_volume.empty() ? mount.mount_point
                                                               : mount.path_in_volume};
}

Status AddVolumes(const ResolvedPod& pod, std::vector<std::string>& found) {
  for (const Volume& volume : VolumesOf(pod)) {
    const std::string container = "container " + volume.target->requested.name;
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                             ContentOf(volume).While(container));
    if (names.empty()) continue;
    const char* what = volume.mount->origin == MountOrigin::kImageVolume ? "the image's volume"
                                                                         : "the emptyDir volume";
    found.push_back(container + ": " + what + " at " + Printable(volume.mount->mount_point) +
                    " holds files (" + NamesIn(names) + ")");
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
  const MountEntry* const mount = MountedAt(path, mounts);
  if (mount == nullptr || !seen.insert(mount->device).second) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                           ListDirectory(InContainer(target, path)));
  if (entries.empty()) return Status();
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (const DirectoryEntry& entry : entries) names.push_back(entry.name);
  found.push_back("container " + target.requested.name + ": " + what + " (" +
                  NamesIn(std::move(names)) + ")");
  return Status();
}

Status AddSysVIpc(const DumpTarget& target, std::set<uint64_t>& seen,
                  std::vector<std::string>& found) {
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t inode, NamespaceInode(target.state.init_pid, "ipc"));
  if (!seen.insert(inode).second) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(
      const std::string objects,
      ListSysVIpc(target.init_pidfd.get(), Deadline::After(kNamespaceTimeout)));
  if (objects.empty()) return Status();
  found.push_back("the pod has System V IPC objects (" + objects.substr(0, objects.find('\n')) +
                  (objects.find('\n') + 1 < objects.size() ? ", …)" : ")"));
  return Status();
}

}  // namespace

std::string NotCarried(const std::string& content) {
  return content +
         ", which an archive does not carry yet; remove it, or leave it out knowingly with"
         " --without-volumes";
}

Result<std::vector<std::string>> UncarriedContent(const ResolvedPod& pod) {
  std::vector<std::string> found;
  std::set<std::string> devices;
  std::set<uint64_t> ipc_namespaces;
  CRYOPOD_RETURN_IF_ERROR(AddVolumes(pod, found));
  for (const DumpTarget& target : pod.targets) {
    CRYOPOD_RETURN_IF_ERROR(
        AddSharedDirectory(target, "/dev/shm", "/dev/shm holds files", devices, found));
    CRYOPOD_RETURN_IF_ERROR(
        AddSharedDirectory(target, "/dev/mqueue", "POSIX message queues exist", devices, found));
    CRYOPOD_RETURN_IF_ERROR(AddSysVIpc(target, ipc_namespaces, found));
  }
  return found;
}

}  // namespace cryopod::checkpoint
