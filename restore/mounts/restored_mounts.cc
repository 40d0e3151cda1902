#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

#include "agent/os/cgroup.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount_info.h"
#include "agent/os/namespaces.h"
#include "agent/os/proc.h"
#include "restore/mounts/mount_rules.h"

namespace cryopod::restore {
namespace {

// By the inode of their mount namespace.
using Namespaces = std::map<uint64_t, std::vector<pid_t>>;

Result<Namespaces> FindNamespaces(const std::string& cgroup_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::Open(cgroup_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, cgroup.LivingThreads());
  Namespaces namespaces;
  for (const pid_t thread : threads) {
    CRYOPOD_ASSIGN_OR_RETURN(const uint64_t inode, NamespaceInode(thread, "mnt"));
    namespaces[inode].push_back(thread);
  }
  return namespaces;
}

Result<std::vector<MountEntry>> CheckFromWithin(const LiveMounts& live, const NodeSide& node,
                                                pid_t task, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd proc, OpenDirectory("/proc"));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd mount_namespace,
                           OpenAt(AT_FDCWD, "/proc/" + std::to_string(task) + "/ns/mnt", O_RDONLY));
  // The root of the namespace, not that of a task: a task may have changed its own, and then its
  // mountinfo leaves out what lies elsewhere.
  const auto act = [&]() -> Result<std::string> {
    CRYOPOD_ASSIGN_OR_RETURN(const MountView view, MountView::OfCaller(proc.get()));
    CRYOPOD_RETURN_IF_ERROR(CheckWhatIsAsked(live, node, view));
    return view.mountinfo();
  };
  // It looks into every directory, whoever may.
  const Result<std::string> mountinfo =
      RunInNamespace(mount_namespace.get(), CLONE_NEWNS, {CAP_DAC_READ_SEARCH}, act, deadline);
  if (mountinfo.ok()) return ParseMountInfo(*mountinfo);
  // Only code and message come out of the namespace.
  const Status status = mountinfo.status();
  const bool refused = status.code() == Code::kPermissionDenied;
  return Status(status.code(), status.message(),
                refused ? Reason::kSecurityContext : Reason::kNone);
}

// Files of the kernel's own mounts, which no namespace shows: memory (memfd, shared mappings),
// message queues, namespaces, processes.
bool IsOfKernelMount(const std::string& path) {
  constexpr std::array<uint32_t, 8> kMagics = {0x01021994,   // TMPFS_MAGIC
                                               0x958458f6,   // HUGETLBFS_MAGIC
                                               0x5345434d,   // SECRETMEM_MAGIC
                                               0x09041934,   // ANON_INODE_FS_MAGIC
                                               0x19800202,   // MQUEUE_MAGIC
                                               0xa10a10a1,   // AIO_RING_MAGIC
                                               0x6e736673,   // NSFS_MAGIC
                                               0x50494446};  // PID_FS_MAGIC
  struct statfs facts {};
  if (::statfs(path.c_str(), &facts) != 0) return false;
  return std::ranges::count(kMagics, static_cast<uint32_t>(facts.f_type)) > 0;
}

// `held`: a link in the directory of the task, such as "root" or "fd/3".
Status CheckHeld(pid_t task, const std::string& held, const std::set<int>& mount_ids) {
  const std::string path = "/proc/" + std::to_string(task) + "/" + held;
  CRYOPOD_ASSIGN_OR_RETURN(const FileFacts file, LookAt(path));
  if (mount_ids.contains(file.mount_id)) return Status();
  // Pipes, sockets, and what the runtime has given as standard input: nothing that leads anywhere.
  const bool leads_on = S_ISREG(file.mode) || S_ISDIR(file.mode) || S_ISBLK(file.mode);
  if (!leads_on || (!S_ISDIR(file.mode) && IsOfKernelMount(path))) return Status();
  return Status(Code::kPermissionDenied,
                "by the archive, task " + std::to_string(task) + " has a file or directory (" +
                    held +
                    ") that is on no mount of the container, and the new pod asks for its own "
                    "mounts alone; checkpoint the pod again",
                Reason::kSecurityContext);
}

Status CheckTask(pid_t task, const std::set<int>& mount_ids) {
  CRYOPOD_RETURN_IF_ERROR(CheckHeld(task, "root", mount_ids));
  CRYOPOD_RETURN_IF_ERROR(CheckHeld(task, "cwd", mount_ids));
  CRYOPOD_ASSIGN_OR_RETURN(const pid_t process, ReadThreadGroup(task));
  if (process != task) return Status();  // CRIU makes threads that share files and memory
  CRYOPOD_RETURN_IF_ERROR(CheckHeld(task, "exe", mount_ids));
  for (const std::string folder : {"fd", "map_files"}) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                             ListDirectory("/proc/" + std::to_string(task) + "/" + folder));
    for (const DirectoryEntry& entry : entries) {
      CRYOPOD_RETURN_IF_ERROR(CheckHeld(task, folder + "/" + entry.name, mount_ids));
    }
  }
  return Status();
}

// Errors: kNotFound (a source that is absent).
Result<NodeSide> LookAtNode(const LiveMounts& live) {
  NodeSide node;
  CRYOPOD_ASSIGN_OR_RETURN(const FileFacts root, LookAt(live.rootfs));
  node.root = root.id;
  for (const LiveMount& mount : live.mounts) {
    node.sources.emplace_back();
    if (mount.type != "bind") continue;
    CRYOPOD_ASSIGN_OR_RETURN(
        const FileFacts source,
        LookAt(mount.source).While("the source of the mount " + mount.destination));
    node.sources.back() = source.id;
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ReadMountInfo(::getpid()));
  for (const MountEntry& mount : mounts) node.devices.insert(mount.device);
  return node;
}

}  // namespace

Status CheckRestoredMounts(const LiveMounts& live, const std::string& cgroup_dir,
                           Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const NodeSide node, LookAtNode(live));
  CRYOPOD_ASSIGN_OR_RETURN(const Namespaces namespaces, FindNamespaces(cgroup_dir));
  for (const auto& [inode, tasks] : namespaces) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts,
                             CheckFromWithin(live, node, tasks.front(), deadline));
    CRYOPOD_RETURN_IF_ERROR(CheckNothingMore(live, mounts));
    std::set<int> mount_ids;
    for (const MountEntry& mount : mounts) mount_ids.insert(mount.mount_id);
    for (const pid_t task : tasks) CRYOPOD_RETURN_IF_ERROR(CheckTask(task, mount_ids));
  }
  return Status();
}

}  // namespace cryopod::restore
