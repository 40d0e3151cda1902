#include "agent/gateway/give_up_rights.h"

#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/os/confinement.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/proc.h"

namespace cryopod::gateway {
namespace {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
};

Result<User> FindUser(const std::string& name) {
  const passwd* const found = ::getpwnam(name.c_str());
  if (found != nullptr) return User{found->pw_uid, found->pw_gid};
  return Status(Code::kNotFound, "there is no user " + name + "; make one (useradd --system " +
                                     name + ") or name another with --user");
}

Status SwitchTo(const std::string& name) {
  CRYOPOD_ASSIGN_OR_RETURN(const User user, FindUser(name));
  CRYOPOD_RETURN_IF_ERROR(EmptyBoundingSet());
  if (::initgroups(name.c_str(), user.gid) != 0) return ErrnoStatus(errno, "initgroups", name);
  if (::setresgid(user.gid, user.gid, user.gid) != 0) return ErrnoStatus(errno, "setresgid", name);
  if (::setresuid(user.uid, user.uid, user.uid) != 0) return ErrnoStatus(errno, "setresuid", name);
  return Status();
}

Status CheckNothingIsLeft() {
  CRYOPOD_ASSIGN_OR_RETURN(const TaskCredentials credentials, ReadTaskCredentials(::getpid()));
  const CapabilitySets& sets = credentials.capabilities;
  const uint64_t held = sets.permitted | sets.effective | sets.inheritable | sets.ambient;
  if (held == 0 && credentials.no_new_privs) return Status();
  return Status(Code::kPermissionDenied, "the kernel has left this process privileges");
}

bool StartLoopback() {
  const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback{};
  std::strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP;
  return ::ioctl(any.get(), SIOCSIFFLAGS, &loopback) == 0;
}

}  // namespace

Status CheckUser(const std::string& user, bool allow_root) {
  const uid_t self = ::geteuid();
  if (user.empty()) {
    if (self != 0 || allow_root) return Status();
    return Status(Code::kFailedPrecondition,
                  "started as root: name the user to become with --user, or say --allow-root true");
  }
  CRYOPOD_ASSIGN_OR_RETURN(const User wanted, FindUser(user));
  if (self == 0 || wanted.uid == self) return Status();
  return Status(Code::kFailedPrecondition, "only root can become user " + user +
                                               "; this is user number " + std::to_string(self));
}

bool EnterPrivateNetwork() {
  // Who is not root takes a namespace of users without any mapping: the kernel goes on taking it
  // for who it was. Root could not become anybody else in there.
  const bool entered = ::unshare(CLONE_NEWNET) == 0 ||
                       (::geteuid() != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0);
  return entered && StartLoopback();
}

Status BecomeUser(const std::string& user) {
  if (::geteuid() == 0 && !user.empty()) {
    CRYOPOD_RETURN_IF_ERROR(SwitchTo(user).While("becoming user " + user));
  }
  CRYOPOD_RETURN_IF_ERROR(GiveUpCapabilities());
  return CheckNothingIsLeft();
}

Status Confine(uint16_t service_port) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd self, OpenDirectory("/proc/self"));
  ReachablePlaces reachable;
  reachable.paths = {{self.get(), false}};
  reachable.bind_ports = {service_port};
  reachable.connect_ports = {service_port};
  CRYOPOD_ASSIGN_OR_RETURN(const int landlock, GiveUpOtherPlaces(reachable));
  if (landlock < 4) {
    Log(LogLevel::kWarning, "this kernel's Landlock does not confine the gateway fully",
        {{"landlock", std::to_string(landlock)}, {"wanted", "4"}});
  }
  return ForbidSystemCalls({SYS_execve,
                            SYS_execveat,
                            SYS_ptrace,
                            SYS_process_vm_readv,
                            SYS_process_vm_writev,
                            SYS_pidfd_getfd,
                            SYS_unshare,
                            SYS_setns,
                            SYS_mount,
                            SYS_umount2,
                            SYS_pivot_root,
                            SYS_chroot,
                            SYS_move_mount,
                            SYS_open_tree,
                            SYS_fsopen,
                            SYS_bpf,
                            SYS_perf_event_open,
                            SYS_keyctl,
                            SYS_add_key,
                            SYS_request_key,
                            SYS_userfaultfd,
                            SYS_io_uring_setup,
                            SYS_open_by_handle_at,
                            SYS_init_module,
                            SYS_finit_module,
                            SYS_kexec_load,
                            SYS_kcmp});
}

}  // namespace cryopod::gateway
