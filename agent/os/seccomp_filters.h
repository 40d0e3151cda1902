#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod {

// A filter of system calls as the kernel gives it back.
//
// Source   seccomp(2); <linux/filter.h>: a struct sock_filter has eight bytes.
struct SeccompFilter {
  std::vector<uint64_t> program;
  uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_LOG or none: the kernel tells no other
  bool operator==(const SeccompFilter&) const = default;
};

inline constexpr size_t kFilterInstructionsMax = 4096;  // BPF_MAXINSNS
// Of one process; a container runtime sets one.
inline constexpr size_t kSeccompFiltersMax = 8;

// Every filter of a thread, the oldest first. It is stopped by ptrace for as long as that takes.
//
// Source  ptrace(2), PTRACE_SECCOMP_GET_FILTER (the caller needs CAP_SYS_ADMIN and no filter of its
//         own), PTRACE_SECCOMP_GET_METADATA (Linux 4.16).
// Errors  kNotFound, kPermissionDenied (also: somebody else traces it), kResourceExhausted (more
//         than the limits above), kDeadlineExceeded.
Result<std::vector<SeccompFilter>> ReadSeccompFilters(pid_t thread, Deadline deadline);

}  // namespace cryopod
