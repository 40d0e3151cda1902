#include "agent/os/confinement.h"

#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "agent/os/unique_fd.h"

namespace cryopod {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "seccomp needs the architecture's number"
#endif
// x86-64 has a second table of calls, x32, told apart by this bit.
constexpr uint32_t kX32Bit = 0x40000000;

constexpr int kCapabilityMax = 63;

// linux/landlock.h of Linux 6.12; those of the build machine may be older.
struct LandlockRuleset {
  uint64_t handled_access_fs = 0;
  uint64_t handled_access_net = 0;
  uint64_t scoped = 0;
};
struct LandlockPort {
  uint64_t allowed_access = 0;
  uint64_t port = 0;
};
constexpr uint64_t kReadAccess = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kAccessOfVersion1 = (uint64_t{1} << 13) - 1;
constexpr uint64_t kRefer = uint64_t{1} << 13;      // version 2
constexpr uint64_t kTruncate = uint64_t{1} << 14;   // version 3
constexpr uint64_t kIoctlDev = uint64_t{1} << 15;   // version 5
constexpr uint64_t kBindTcp = uint64_t{1} << 0;     // version 4
constexpr uint64_t kConnectTcp = uint64_t{1} << 1;  // version 4
constexpr uint64_t kScopes = 3;                     // version 6: abstract sockets, signals
constexpr int kRuleOfPort = 2;
// Files and directories, but no devices, sockets or links; and nothing is executed.
constexpr uint64_t kWriteAccess = kReadAccess | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                  LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                  kRefer | kTruncate;
// What a rule on a file that is no directory may name.
constexpr uint64_t kFileAccess =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | kTruncate;

LandlockRuleset HandledBy(int version) {
  LandlockRuleset ruleset;
  ruleset.handled_access_fs = kAccessOfVersion1;
  if (version >= 2) ruleset.handled_access_fs |= kRefer;
  if (version >= 3) ruleset.handled_access_fs |= kTruncate;
  if (version >= 4) ruleset.handled_access_net = kBindTcp | kConnectTcp;
  if (version >= 5) ruleset.handled_access_fs |= kIoctlDev;
  if (version >= 6) ruleset.scoped = kScopes;
  return ruleset;
}

Status AddPath(int ruleset_fd, const ReachablePath& path, uint64_t handled) {
  struct stat info {};
  if (::fstat(path.fd, &info) != 0) return ErrnoStatus(errno, "fstat", "a path to keep");
  landlock_path_beneath_attr rule{};
  rule.parent_fd = path.fd;
  rule.allowed_access = handled & (path.writable ? kWriteAccess : kReadAccess);
  if (!S_ISDIR(info.st_mode)) rule.allowed_access &= kFileAccess;
  if (::syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0) {
    return Status();
  }
  return ErrnoStatus(errno, "landlock_add_rule", "path");
}

Status AddPorts(int ruleset_fd, const std::vector<uint16_t>& ports, uint64_t access) {
  for (const uint16_t port : ports) {
    const LandlockPort rule{access, port};
    if (::syscall(SYS_landlock_add_rule, ruleset_fd, kRuleOfPort, &rule, 0) != 0) {
      return ErrnoStatus(errno, "landlock_add_rule", "port " + std::to_string(port));
    }
  }
  return Status();
}

Status SetNoNewPrivileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return Status();
  return ErrnoStatus(errno, "prctl", "no_new_privs");
}

// Answers `named` to the calls of the list and `others` to all others.
Status InstallFilter(const std::vector<long>& calls, uint32_t named, uint32_t others) {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kAuditArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  for (const long call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, named));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, others));
  if (program.size() > BPF_MAXINSNS) return Status(Code::kInvalidArgument, "too many system calls");
  const sock_fprog filter{static_cast<uint16_t>(program.size()), program.data()};
  CRYOPOD_RETURN_IF_ERROR(SetNoNewPrivileges());
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0) return Status();
  return ErrnoStatus(errno, "seccomp", "filter");
}

}  // namespace

Status EmptyBoundingSet() {
  for (int capability = 0; capability <= kCapabilityMax; ++capability) {
    // EINVAL: beyond the last one that this kernel knows.
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) {
      return ErrnoStatus(errno, "prctl", "bounding set");
    }
  }
  return Status();
}

Status GiveUpCapabilities(const std::vector<int>& kept) {
  CRYOPOD_RETURN_IF_ERROR(SetNoNewPrivileges());
  // A process without CAP_SETPCAP may not; no_new_privs keeps it from getting any.
  Status emptied = EmptyBoundingSet();
  if (!emptied.ok() && emptied.code() != Code::kPermissionDenied) return emptied;
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return ErrnoStatus(errno, "prctl", "ambient set");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> held{};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> left{};
  if (!kept.empty() && ::syscall(SYS_capget, &header, held.data()) != 0) {
    return ErrnoStatus(errno, "capget", "");
  }
  for (const int capability : kept) {
    const auto word = static_cast<size_t>(CAP_TO_INDEX(capability));
    left[word].permitted |= held[word].permitted & CAP_TO_MASK(capability);
    left[word].effective = left[word].permitted;
  }
  if (::syscall(SYS_capset, &header, left.data()) == 0) return Status();
  return ErrnoStatus(errno, "capset", kept.empty() ? "no capability" : "few capabilities");
}

Status BecomeUser(uid_t id) {
  const pid_t parent = ::getppid();
  int death_signal = 0;
  if (::prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) != 0) {
    return ErrnoStatus(errno, "prctl", "death signal");
  }
  CRYOPOD_RETURN_IF_ERROR(EmptyBoundingSet());
  if (::setgroups(0, nullptr) != 0) return ErrnoStatus(errno, "setgroups", "none");
  if (::setresgid(id, id, id) != 0) return ErrnoStatus(errno, "setresgid", std::to_string(id));
  if (::setresuid(id, id, id) != 0) return ErrnoStatus(errno, "setresuid", std::to_string(id));
  if (::prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0) {
    return ErrnoStatus(errno, "prctl", "death signal");
  }
  if (::getppid() == parent) return Status();
  return Status(Code::kUnavailable, "the parent process has ended");
}

Result<int> LandlockVersion() {
  const long known =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (known >= 0) return static_cast<int>(known);
  // Not built in, or not switched on.
  if (errno == ENOSYS || errno == EOPNOTSUPP) return 0;
  return ErrnoStatus(errno, "landlock_create_ruleset", "version");
}

Result<int> GiveUpOtherPlaces(const ReachablePlaces& reachable) {
  CRYOPOD_ASSIGN_OR_RETURN(const int version, LandlockVersion());
  if (version == 0) return 0;
  const LandlockRuleset handled = HandledBy(version);
  // A kernel takes a structure that is longer than its own when it ends in zeros.
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0)));
  if (!ruleset.valid()) return ErrnoStatus(errno, "landlock_create_ruleset", "");
  for (const ReachablePath& path : reachable.paths) {
    CRYOPOD_RETURN_IF_ERROR(AddPath(ruleset.get(), path, handled.handled_access_fs));
  }
  if (handled.handled_access_net != 0) {
    CRYOPOD_RETURN_IF_ERROR(AddPorts(ruleset.get(), reachable.bind_ports, kBindTcp));
    CRYOPOD_RETURN_IF_ERROR(AddPorts(ruleset.get(), reachable.connect_ports, kConnectTcp));
  }
  CRYOPOD_RETURN_IF_ERROR(SetNoNewPrivileges());
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0) return version;
  return ErrnoStatus(errno, "landlock_restrict_self", "");
}

Status AllowOnlySystemCalls(const std::vector<long>& allowed) {
  return InstallFilter(allowed, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | ENOSYS);
}

Status ForbidSystemCalls(const std::vector<long>& forbidden) {
  return InstallFilter(forbidden, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW);
}

}  // namespace cryopod
