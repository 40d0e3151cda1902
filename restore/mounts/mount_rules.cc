#include "restore/mounts/mount_rules.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>
#include <string_view>

#include "agent/criu/mount_ledger.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::restore {
namespace {

constexpr size_t kPathBytesShown = 200;

std::string Shown(const std::string& text) { return Printable(text, kPathBytesShown); }

// "overlay (rw,relatime)"
std::string Describe(const MountEntry& mount) {
  const std::string from = mount.root == "/" ? "" : " of " + Shown(mount.root);
  return Shown(mount.file_system_type) + from + " (" + Shown(mount.mount_options) + ")";
}

std::string Describe(const LiveMount& mount) {
  const std::string what = mount.type == "bind" ? Shown(mount.source) : Shown(mount.type);
  return mount.flags == 0 ? what : what + " (" + FlagNames(mount.flags) + ")";
}

Status Refused(const std::string& mount_point, const std::string& asked,
               const std::string& brought) {
  return Status(Code::kPermissionDenied,
                "at " + Shown(mount_point) + " the new pod asks for " + asked +
                    ", and the archive brings " + brought +
                    "; give the new pod the mounts that were checkpointed, or checkpoint the pod "
                    "with those of the new one",
                Reason::kSecurityContext);
}

MountFlags ForbiddenBy(const MountEntry& mount) {
  const auto words_of = [](const std::string& options) {
    const std::vector<std::string_view> words = Split(options, ',');
    return std::vector<std::string>(words.begin(), words.end());
  };
  MountFlags flags = FlagsOf(words_of(mount.mount_options));
  if (std::ranges::count(words_of(mount.super_options), "ro") > 0) flags |= MS_RDONLY;
  return flags;
}

bool Forbids(const MountEntry& mount, MountFlags flags) {
  return (flags & ~ForbiddenBy(mount)) == 0;
}

bool IsCgroup(const MountEntry& mount) {
  return mount.file_system_type == "cgroup" || mount.file_system_type == "cgroup2";
}

// The hierarchies of version 1 lie beneath a tmpfs of the runtime, which stays writable.
bool FitsCgroups(const LiveMount& asked, const MountEntry& mount, const MountView& view) {
  if (IsCgroup(mount)) return Forbids(mount, asked.flags);
  if (mount.file_system_type != "tmpfs" || mount.root != "/") return false;
  if (!Forbids(mount, asked.flags & ~MountFlags{MS_RDONLY})) return false;
  return std::ranges::all_of(view.mounts(), [&](const MountEntry& entry) {
    return entry.parent_id != mount.mount_id || !IsCgroup(entry) || Forbids(entry, asked.flags);
  });
}

// One that the node has as well could hold anything of it, or of another pod.
bool MustBeNew(const std::string& type) { return type == "tmpfs" || type == "devpts"; }

bool IsAsAsked(const LiveMount& asked, const FileId& source, const NodeSide& node,
               const ViewedPlace& place, const MountView& view) {
  const MountEntry& mount = *place.mount;
  if (!place.is_mount_root) return false;
  if (asked.type == "cgroup") return FitsCgroups(asked, mount, view);
  if (!Forbids(mount, asked.flags)) return false;
  if (asked.type == "bind") return place.id == source;
  if (mount.file_system_type != asked.type) return false;
  if (IsCgroup(mount)) return true;
  if (MustBeNew(asked.type) && node.devices.contains(mount.device)) return false;
  return mount.root == "/";
}

Status CheckMount(const LiveMount& asked, const FileId& source, const NodeSide& node,
                  const MountView& view) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::optional<ViewedPlace> place, view.Find(asked.destination));
  if (place && IsAsAsked(asked, source, node, *place, view)) return Status();
  std::string brought = place ? "no mount" : "nothing";
  if (place && place->is_mount_root) brought = Describe(*place->mount);
  return Refused(asked.destination, Describe(asked), brought);
}

Status CheckRoot(const LiveMounts& live, const NodeSide& node, const MountView& view) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::optional<ViewedPlace> root, view.Find("/"));
  if (!root || root->id != node.root) {
    return Refused("/", "its own root file system",
                   root ? "another: " + Describe(*root->mount) : "nothing");
  }
  if (live.read_only_root && !Forbids(*root->mount, MS_RDONLY)) {
    return Refused("/", "a read-only root file system (ro)", Describe(*root->mount));
  }
  return Status();
}

Result<bool> IsEmpty(const ViewedPlace& directory) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd fd,
                           OpenAt(directory.fd.get(), ".", O_RDONLY | O_DIRECTORY));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(fd.get()));
  return entries.empty();
}

Status CheckMasked(const std::string& path, const MountView& view) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::optional<ViewedPlace> place, view.Find(path));
  if (!place || place->is_dev_null()) return Status();
  const MountEntry& mount = *place->mount;
  if (place->is_directory() && place->is_mount_root && mount.file_system_type == "tmpfs" &&
      Forbids(mount, MS_RDONLY)) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool empty, IsEmpty(*place).While(path));
    if (empty) return Status();
  }
  return Refused(path, "what hides it from the container",
                 place->is_mount_root ? Describe(mount) : "it in the open");
}

// The runtime binds such a path over itself.
bool ShowsWhatItCovers(const MountEntry& mount, const MountView& view) {
  const MountEntry* const parent = view.ParentOf(mount);
  if (parent == nullptr || parent->device != mount.device) return false;
  const std::string above = parent->mount_point == "/" ? "" : parent->mount_point;
  const std::string root = parent->root == "/" ? "" : parent->root;
  return mount.mount_point.starts_with(above) &&
         mount.root == root + mount.mount_point.substr(above.size());
}

Status CheckReadOnly(const std::string& path, const MountView& view) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::optional<ViewedPlace> place, view.Find(path));
  if (!place || place->is_dev_null()) return Status();
  const MountEntry& mount = *place->mount;
  if (!Forbids(mount, MS_RDONLY)) return Refused(path, "it read-only (ro)", Describe(mount));
  if (place->is_mount_root && !ShowsWhatItCovers(mount, view)) {
    return Refused(path, "the same path, read-only (ro)", Describe(mount));
  }
  return Status();
}

// A device is a mount in a user namespace of its own, or where the OCI runtime lacks rights.
Status CheckDevice(const LiveDevice& device, const MountView& view) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::optional<ViewedPlace> place, view.Find(device.path));
  if (!place || !place->is_mount_root) return Status();
  const bool same = (S_ISCHR(place->mode) || S_ISBLK(place->mode)) &&
                    place->device_major == device.major && place->device_minor == device.minor;
  return same ? Status() : Refused(device.path, "a device", Describe(*place->mount));
}

bool IsOverriddenLater(const LiveMounts& live, size_t index) {
  return std::any_of(
      live.mounts.begin() + static_cast<std::ptrdiff_t>(index) + 1, live.mounts.end(),
      [&](const LiveMount& later) { return later.destination == live.mounts[index].destination; });
}

}  // namespace

Status CheckWhatIsAsked(const LiveMounts& live, const NodeSide& node, const MountView& view) {
  CRYOPOD_RETURN_IF_ERROR(CheckRoot(live, node, view));
  for (size_t i = 0; i < live.mounts.size(); ++i) {
    if (IsOverriddenLater(live, i)) continue;
    CRYOPOD_RETURN_IF_ERROR(CheckMount(live.mounts[i], node.sources[i], node, view));
  }
  for (const std::string& path : live.masked_paths) {
    CRYOPOD_RETURN_IF_ERROR(CheckMasked(path, view));
  }
  for (const std::string& path : live.read_only_paths) {
    CRYOPOD_RETURN_IF_ERROR(CheckReadOnly(path, view));
  }
  for (const LiveDevice& device : live.devices) {
    CRYOPOD_RETURN_IF_ERROR(CheckDevice(device, view));
  }
  return Status();
}

Status CheckNothingMore(const LiveMounts& live, const std::vector<MountEntry>& mounts) {
  criu::ContainerState state;
  state.rootfs = live.rootfs;
  for (const LiveMount& mount : live.mounts) {
    state.mounts.push_back({mount.destination, mount.source, mount.type});
  }
  state.mask_paths = live.masked_paths;
  state.readonly_paths = live.read_only_paths;
  for (const LiveDevice& device : live.devices) state.device_paths.push_back(device.path);
  const criu::MountLedger ledger = criu::AccountForMounts(state, mounts);
  if (ledger.strange_mounts.empty()) return Status();
  const MountEntry& strange = ledger.strange_mounts.front();
  return Refused(strange.mount_point, "no such mount", Describe(strange));
}

}  // namespace cryopod::restore
