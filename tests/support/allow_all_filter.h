#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace cryopod::test {

// A seccomp filter that allows everything and is known by its `mark`.
inline sock_filter AllowAll(uint16_t mark) {
  return {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW | mark};
}

// As the kernel's memory has it.
constexpr uint64_t AllowAllBytes(uint16_t mark) {
  return uint64_t{SECCOMP_RET_ALLOW | mark} << 32 | (BPF_RET | BPF_K);
}

// Sets it for the calling thread; false when the kernel has none. Async-signal-safe.
inline bool SetAllowAll(uint16_t mark, unsigned int flags = 0) {
  sock_filter instruction = AllowAll(mark);
  sock_fprog program = {1, &instruction};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0;
}

}  // namespace cryopod::test
