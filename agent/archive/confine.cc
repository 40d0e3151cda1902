#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "agent/archive/unpack_child.h"

namespace cryopod::archive {
namespace {

constexpr rlim_t kAddressSpaceBytesMax = rlim_t{1} << 30;
constexpr rlim_t kDescriptorsMax = 16;

void SetLimit(__rlimit_resource resource, rlim_t value) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return;
  limit.rlim_max = std::min(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(resource, &limit);
}

void DropCapabilities() {
  for (int capability = 0; capability <= 63; ++capability) {
    (void)::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  (void)::syscall(SYS_capset, &header, none.data());
}

}  // namespace

void Confine(const UnpackTask& task) {
  ::umask(077);
  // Above RLIMIT_FSIZE write(2) shall fail, not kill: the reason must be told.
  ::signal(SIGXFSZ, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  SetLimit(RLIMIT_CORE, 0);
  SetLimit(RLIMIT_NPROC, 0);
  SetLimit(RLIMIT_NOFILE, kDescriptorsMax);
  SetLimit(RLIMIT_FSIZE, task.limits.bytes_max);
  SetLimit(RLIMIT_CPU, task.cpu_seconds);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // The sanitizers reserve terabytes of addresses.
  SetLimit(RLIMIT_AS, kAddressSpaceBytesMax);
#endif
  DropCapabilities();
}

}  // namespace cryopod::archive
