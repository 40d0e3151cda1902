#include "agent/criu/mount_ledger.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/criu/remade_mounts.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

constexpr size_t kPathBytesShown = 200;

// File systems that CRIU mounts anew at restore, tmpfs with its content.
// Source: CRIU 4.2, criu/filesystems.c.
constexpr std::array<std::string_view, 6> kCarriedTypes = {"proc",   "sysfs",  "tmpfs",
                                                           "devpts", "mqueue", "cgroup2"};

bool IsCgroupType(const std::string& type) { return type == "cgroup" || type == "cgroup2"; }

bool IsMaskedFile(const MountEntry& entry) { return entry.root != "/"; }

bool IsMask(const MountEntry& entry) {
  if (IsMaskedFile(entry)) return entry.root.ends_with("/null");
  return entry.file_system_type == "tmpfs" && entry.mount_options.starts_with("ro");
}

enum class Kind {
  kRoot,
  kExternal,  // a bind mount or device: the new pod brings its own
  kContent,   // a file system that CRIU makes anew or carries with its content
  kCgroups,   // the file system or directory that holds the hierarchies
  kMasked,    // /dev/null over a file, an empty read-only tmpfs over a directory
  kReadOnly,  // a path bound over itself
  kConsole,   // the terminal of a container, bound out of its devpts
};

struct Declared {
  Kind kind;
  std::string mount_point;
  std::string type;  // kContent: of the file system
  bool used = false;
};

class Accounting {
 public:
  Accounting(const ContainerState& state, const std::vector<MountEntry>& mounts) : mounts_(mounts) {
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

  MountLedger Run(bool own_cgroup_namespace) {
    for (const MountEntry& entry : mounts_) {
      if (Claim(entry)) continue;
      if (IsCgroupHierarchy(entry)) {
        if (!own_cgroup_namespace) AddExternal(entry.mount_point, entry.mount_point);
        continue;
      }
      ledger_.strangers.push_back(Describe(entry));
      ledger_.strange_mounts.push_back(entry);
    }
    return std::move(ledger_);
  }

 private:
  void Declare(Kind kind, const std::string& mount_point, const std::string& type = {}) {
    declared_.push_back({kind, mount_point, type});
    // Declared also when mountinfo does not show it, as the runtime does: CRIU ignores what is
    // absent.
    if (kind == Kind::kExternal) AddExternal(mount_point, mount_point);
  }

  void DeclareMount(const std::string& mount_point, const OciMount& mount) {
    if (mount.device == "bind") {
      Declare(Kind::kExternal, mount_point);
      if (RemadeKindOf(mount.source, PodPlaces())) ledger_.watched_paths.push_back(mount_point);
    } else if (mount.device == "cgroup") {
      Declare(Kind::kCgroups, mount_point);
    } else {
      Declare(Kind::kContent, mount_point, mount.device);
    }
  }

  bool Fits(const Declared& declared, const MountEntry& entry) const {
    switch (declared.kind) {
      case Kind::kRoot:
      case Kind::kExternal:
        return true;
      case Kind::kContent:
        return entry.file_system_type == declared.type &&
               std::ranges::find(kCarriedTypes, declared.type) != kCarriedTypes.end();
      case Kind::kCgroups:
        return entry.file_system_type == "tmpfs" || IsCgroupType(entry.file_system_type);
      case Kind::kMasked:
        return IsMask(entry);
      case Kind::kReadOnly:
        return IsBoundOverItself(entry);
      case Kind::kConsole:
        return IsContainersTerminal(entry);
    }
    return false;
  }

  bool Claim(const MountEntry& entry) {
    for (Declared& declared : declared_) {
      if (declared.used || declared.mount_point != entry.mount_point) continue;
      if (!Fits(declared, entry)) continue;
      declared.used = true;
      if (declared.kind == Kind::kMasked && IsMaskedFile(entry)) {
        AddExternal(entry.mount_point, "/dev/null");
      }
      return true;
    }
    return false;
  }

  const MountEntry* ParentOf(const MountEntry& entry) const {
    const auto parent = std::ranges::find(mounts_, entry.parent_id, &MountEntry::mount_id);
    return parent == mounts_.end() ? nullptr : &*parent;
  }

  // A path bound over itself shows the same file system, at the place where its parent shows it.
  bool IsBoundOverItself(const MountEntry& entry) const {
    const MountEntry* parent = ParentOf(entry);
    return parent != nullptr && parent->device == entry.device;
  }

  bool IsContainersTerminal(const MountEntry& entry) const {
    return entry.file_system_type == "devpts" &&
           std::ranges::any_of(mounts_, [&](const MountEntry& other) {
             return other.device == entry.device && other.root == "/";
           });
  }

  // On cgroup v1 without a cgroup namespace the runtime binds the container's cgroup of every
  // hierarchy beneath a tmpfs; with one, they are mounts of its own that CRIU makes anew.
  bool IsCgroupHierarchy(const MountEntry& entry) const {
    if (!IsCgroupType(entry.file_system_type)) return false;
    const MountEntry* parent = ParentOf(entry);
    if (parent == nullptr || parent->file_system_type != "tmpfs") return false;
    return std::ranges::any_of(declared_, [&](const Declared& declared) {
      return declared.kind == Kind::kCgroups && declared.mount_point == parent->mount_point;
    });
  }

  void AddExternal(const std::string& mount_point, const std::string& key) {
    auto& externals = ledger_.externals;
    const auto known =
        std::ranges::find(externals, mount_point, &std::pair<std::string, std::string>::first);
    if (known == externals.end()) externals.emplace_back(mount_point, key);
  }

  std::string Describe(const MountEntry& entry) const {
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
      if (declared.kind == Kind::kExternal &&
          IsAtOrBelow(entry.mount_point, declared.mount_point)) {
        return named + " lies inside the volume " +
               Printable(declared.mount_point, kPathBytesShown) +
               ": give it a volume of its own, or mount the outer one without what is mounted in "
               "it";
      }
    }
    return named +
           " was mounted inside the container and is not declared by the pod: unmount it before "
           "the "
           "checkpoint, or make it a volume of the pod";
  }

  const std::vector<MountEntry>& mounts_;
  std::vector<Declared> declared_;
  MountLedger ledger_;
};

}  // namespace

MountLedger AccountForMounts(const ContainerState& state, const std::vector<MountEntry>& mounts) {
  return Accounting(state, mounts).Run(state.namespace_paths.contains("NEWCGROUP"));
}

}  // namespace cryopod::criu
