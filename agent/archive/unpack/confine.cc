#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <vector>

#include "agent/archive/unpack/unpack_child.h"
#include "agent/os/confinement.h"
#include "agent/os/empty_root.h"
#include "agent/os/unique_fd.h"

namespace cryopod::archive {
namespace {

constexpr rlim_t kAddressSpaceBytesMax = rlim_t{1} << 30;
constexpr rlim_t kDescriptorsMax = 16;

// The sanitizers reserve terabytes of addresses, and look at us with a process of their own and
// through /proc.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

void SetLimit(__rlimit_resource resource, rlim_t value) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return;
  limit.rlim_max = std::min(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(resource, &limit);
}

// What the modes, libarchive, zstd and OpenSSL's hashes need once everything is loaded. None of
// them opens a socket, starts anything or looks at another process.
const std::vector<long>& SystemCallsOfUnpacking() {
  static const std::vector<long> calls = {
      SYS_read,
      SYS_readv,
      SYS_pread64,
      SYS_write,
      SYS_writev,
      SYS_pwrite64,
      SYS_lseek,
      SYS_close,
      SYS_fcntl,
      SYS_fstat,
      SYS_newfstatat,
      SYS_statx,
      SYS_openat,
      SYS_openat2,
      SYS_mkdirat,
#ifdef SYS_renameat
      SYS_renameat,
#endif
      SYS_renameat2,
      SYS_unlinkat,
      SYS_getdents64,
      SYS_fsync,
      SYS_fdatasync,
      SYS_ftruncate,
      SYS_fallocate,
      SYS_copy_file_range,
      SYS_ppoll,
      // memory
      SYS_mmap,
      SYS_munmap,
      SYS_mremap,
      SYS_mprotect,
      SYS_madvise,
      SYS_brk,
      // what the C library asks for itself
      SYS_futex,
      SYS_getrandom,
      SYS_clock_gettime,
      SYS_clock_nanosleep,
      SYS_rt_sigaction,
      SYS_rt_sigprocmask,
      SYS_rt_sigreturn,
      SYS_getpid,
      SYS_gettid,
      SYS_tgkill,
      SYS_sysinfo,
      SYS_sched_yield,
      SYS_exit,
      SYS_exit_group,
#ifdef SYS_poll
      SYS_poll,
#endif
  };
  return calls;
}

bool WritesIntoDirectory(UnpackMode mode) {
  return mode == UnpackMode::kImages || mode == UnpackMode::kLayout || mode == UnpackMode::kRewrite;
}

// What only root can do, and only root must.
Status LeaveTheNode(const UnpackTask& task, int output_fd) {
  if (WritesIntoDirectory(task.mode)) {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd detached, DetachDirectory(output_fd));
    if (::dup3(detached.get(), output_fd, O_CLOEXEC) < 0) {
      return ErrnoStatus(errno, "dup3", "the directory to unpack into");
    }
  }
  CRYOPOD_RETURN_IF_ERROR(EnterEmptyRoot());
  return BecomeUser(kUnpackUser);
}

}  // namespace

Status Confine(const UnpackTask& task, int output_fd) {
  ::umask(077);
  // Above RLIMIT_FSIZE write(2) shall fail, not kill: the reason must be told.
  ::signal(SIGXFSZ, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  SetLimit(RLIMIT_CORE, 0);
  SetLimit(RLIMIT_NPROC, 0);
  SetLimit(RLIMIT_NOFILE, kDescriptorsMax);
  SetLimit(RLIMIT_FSIZE, task.limits.bytes_max);
  SetLimit(RLIMIT_CPU, task.cpu_seconds);
  if (::geteuid() == 0) CRYOPOD_RETURN_IF_ERROR(LeaveTheNode(task, output_fd));
  CRYOPOD_RETURN_IF_ERROR(GiveUpCapabilities());
  if constexpr (kSanitized) return Status();
  SetLimit(RLIMIT_AS, kAddressSpaceBytesMax);
  ReachablePlaces reachable;
  if (WritesIntoDirectory(task.mode)) reachable.paths.push_back({output_fd, true});
  // A kernel without Landlock leaves the rest; whether that will do is for the agent to say.
  CRYOPOD_RETURN_IF_ERROR(GiveUpOtherPlaces(reachable).status());
  return AllowOnlySystemCalls(SystemCallsOfUnpacking());
}

}  // namespace cryopod::archive
