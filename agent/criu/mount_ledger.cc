#include "agent/criu/mount_ledger.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/criu/remade_mounts.h"
#include "agent/criu/rootfs_path.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

constexpr size_t kPathBytesShown = 200;

// File systems that CRIU mounts anew at restore, tmpfs with its content.
// Source: CRIU 4.2, criu/filesystems.c.
constexpr std::array<std::string_view, 6> kCarriedTypes = {"proc",   "sysfs",  "tmpfs",
                                                           "devpts", "mqueue", "cgroup2"};

const MountEntry* ParentOf(const MountEntry& entry, const std::vector<MountEntry>& mounts) {
  const auto parent = std::find_if(mounts.begin(), mounts.end(), [&](const MountEntry& other) {
    return other.mount_id == entry.parent_id;
  });
  return parent == mounts.end() ? nullptr : &*parent;
}

bool IsCgroupType(const std::string& type) { return type == "cgroup" || type == "cgroup2"; }

// A path bound over itself shows the same file system, at the place where its parent shows it.
bool IsBoundOverItself(const MountEntry& entry, const std::vector<MountEntry>& mounts) {
  const MountEntry* parent = ParentOf(entry, mounts);
  return parent != nullptr && parent->device == entry.device;
}

bool IsContainersTerminal(const MountEntry& entry, const std::vector<MountEntry>& mounts) {
  return entry.file_system_type == "devpts" &&
         std::any_of(mounts.begin(), mounts.end(), [&](const MountEntry& other) {
           return other.device == entry.device && other.root == "/";
         });
}

bool IsMaskedFile(const MountEntry& entry) { return entry.root != "/"; }

bool IsMask(const MountEntry& entry) {
  if (IsMaskedFile(entry)) return entry.root.ends_with("/null");
  return entry.file_system_type == "tmpfs" && entry.mount_options.starts_with("ro");
}

}  // namespace

MountLedger::MountLedger(const ContainerState& state) {
  own_cgroup_namespace_ = state.namespace_paths.contains("NEWCGROUP");
  const auto declare_paths = [&](Kind kind, const std::vector<std::string>& paths) {
    for (const std::string& path : paths) Declare(kind, ResolveInRootfs(state.rootfs, path));
  };
  Declare(Kind::kRoot, "/");
  for (const OciMount& mount : state.mounts) DeclareMount(MountPointOf(state, mount), mount);
  declare_paths(Kind::kMasked, state.mask_paths);
  declare_paths(Kind::kReadOnly, state.readonly_paths);
  declare_paths(Kind::kExternal, state.device_paths);
  declare_paths(Kind::kConsole, {"/dev/console"});
}

void MountLedger::Declare(Kind kind, const std::string& mount_point, const std::string& type) {
  declared_.push_back({kind, mount_point, type});
  // Declared also when mountinfo does not show it, as the runtime does: CRIU ignores what is
  // absent.
  if (kind == Kind::kExternal) {
    AddExternal(declared_.back().mount_point, declared_.back().mount_point);
  }
}

void MountLedger::DeclareMount(const std::string& mount_point, const OciMount& mount) {
  if (mount.device == "bind") {
    Declare(Kind::kExternal, mount_point);
    if (RemadeKindOf(mount.source, PodPlaces())) watched_paths_.push_back(mount_point);
  } else if (mount.device == "cgroup") {
    Declare(Kind::kCgroups, mount_point);
  } else {
    Declare(Kind::kContent, mount_point, mount.device);
  }
}

bool MountLedger::Fits(const Declared& declared, const MountEntry& entry,
                       const std::vector<MountEntry>& mounts) {
  switch (declared.kind) {
    case Kind::kRoot:
    case Kind::kExternal:
      return true;
    case Kind::kContent:
      return entry.file_system_type == declared.type &&
             std::find(kCarriedTypes.begin(), kCarriedTypes.end(), declared.type) !=
                 kCarriedTypes.end();
    case Kind::kCgroups:
      return entry.file_system_type == "tmpfs" || IsCgroupType(entry.file_system_type);
    case Kind::kMasked:
      return IsMask(entry);
    case Kind::kReadOnly:
      return IsBoundOverItself(entry, mounts);
    case Kind::kConsole:
      return IsContainersTerminal(entry, mounts);
  }
  return false;
}

bool MountLedger::Claim(const MountEntry& entry, const std::vector<MountEntry>& mounts) {
  for (Declared& declared : declared_) {
    if (declared.used || declared.mount_point != entry.mount_point) continue;
    if (!Fits(declared, entry, mounts)) continue;
    declared.used = true;
    if (declared.kind == Kind::kMasked && IsMaskedFile(entry)) {
      AddExternal(entry.mount_point, "/dev/null");
    }
    return true;
  }
  return false;
}

// On cgroup v1 without a cgroup namespace the runtime binds the container's cgroup of every
// hierarchy beneath a tmpfs; with one, they are mounts of its own that CRIU makes anew.
bool MountLedger::IsCgroupHierarchy(const MountEntry& entry,
                                    const std::vector<MountEntry>& mounts) const {
  if (!IsCgroupType(entry.file_system_type)) return false;
  const MountEntry* parent = ParentOf(entry, mounts);
  if (parent == nullptr || parent->file_system_type != "tmpfs") return false;
  return std::any_of(declared_.begin(), declared_.end(), [&](const Declared& declared) {
    return declared.kind == Kind::kCgroups && declared.mount_point == parent->mount_point;
  });
}

void MountLedger::AddExternal(const std::string& mount_point, const std::string& key) {
  const bool known = std::any_of(externals_.begin(), externals_.end(), [&](const auto& external) {
    return external.first == mount_point;
  });
  if (!known) externals_.emplace_back(mount_point, key);
}

std::string MountLedger::Describe(const MountEntry& entry) const {
  const std::string named = Printable(entry.mount_point, kPathBytesShown) + " (" +
                            Printable(entry.file_system_type, 32) + ")";
  for (const Declared& declared : declared_) {
    if (declared.mount_point == entry.mount_point && declared.kind == Kind::kContent &&
        declared.type == entry.file_system_type && !declared.used) {
      return named + " is of a type that cannot be carried: bind-mount it from the node instead";
    }
    if (declared.mount_point == entry.mount_point && declared.used) {
      return named + " covers another mount of the container: unmount it before the checkpoint";
    }
    if (declared.kind == Kind::kExternal && IsAtOrBelow(entry.mount_point, declared.mount_point)) {
      return named + " lies inside the volume " + Printable(declared.mount_point, kPathBytesShown) +
             ": give it a volume of its own, or mount the outer one without what is mounted in it";
    }
  }
  return named +
         " was mounted inside the container and is not declared by the pod: unmount it before the "
         "checkpoint, or make it a volume of the pod";
}

void MountLedger::Account(const std::vector<MountEntry>& mounts) {
  for (const MountEntry& entry : mounts) {
    if (Claim(entry, mounts)) continue;
    if (IsCgroupHierarchy(entry, mounts)) {
      if (!own_cgroup_namespace_) AddExternal(entry.mount_point, entry.mount_point);
      continue;
    }
    strangers_.push_back(Describe(entry));
    strange_mounts_.push_back(entry);
  }
}

}  // namespace cryopod::criu
