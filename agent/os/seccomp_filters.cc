#include "agent/os/seccomp_filters.h"

#include <linux/filter.h>
#include <sys/ptrace.h>

#include <cerrno>
#include <string>

#include "agent/os/stopped_process.h"

namespace cryopod {
namespace {

static_assert(sizeof(sock_filter) == sizeof(uint64_t));

// Seized, and let go on as it was when this ends.
class Tracee {
 public:
  explicit Tracee(pid_t thread) : thread_(thread) {}
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;
  ~Tracee() {
    if (seized_) ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr);
  }

  Status Stop(Deadline deadline) {
    if (::ptrace(PTRACE_SEIZE, thread_, nullptr, nullptr) != 0) return Failed("seizing");
    seized_ = true;
    if (::ptrace(PTRACE_INTERRUPT, thread_, nullptr, nullptr) != 0) return Failed("interrupting");
    return WaitForStop(thread_, deadline).status();
  }

  // False: there is no such filter.
  Result<bool> Read(size_t number, SeccompFilter& filter) const {
    filter.program.resize(kFilterInstructionsMax);
    const auto offset = reinterpret_cast<void*>(number);  // NOLINT(performance-no-int-to-ptr)
    const long count = ::ptrace(PTRACE_SECCOMP_GET_FILTER, thread_, offset, filter.program.data());
    // EINVAL: it has none at all.
    if (count < 0 && (errno == ENOENT || errno == EINVAL)) return false;
    if (count < 0) return Failed("reading a seccomp filter of");
    filter.program.resize(static_cast<size_t>(count));
    __ptrace_seccomp_metadata metadata{};
    metadata.filter_off = number;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    const auto size = reinterpret_cast<void*>(sizeof(metadata));
    if (::ptrace(PTRACE_SECCOMP_GET_METADATA, thread_, size, &metadata) < 0) {
      return Failed("reading the flags of a seccomp filter of");
    }
    filter.flags = static_cast<uint32_t>(metadata.flags);
    return true;
  }

 private:
  std::string Name() const { return "thread " + std::to_string(thread_); }
  Status Failed(const char* doing) const { return ErrnoStatus(errno, doing, Name()); }

  const pid_t thread_;
  bool seized_ = false;
};

}  // namespace

Result<std::vector<SeccompFilter>> ReadSeccompFilters(pid_t thread, Deadline deadline) {
  Tracee tracee(thread);
  CRYOPOD_RETURN_IF_ERROR(tracee.Stop(deadline));
  std::vector<SeccompFilter> filters;
  while (true) {
    SeccompFilter filter;
    CRYOPOD_ASSIGN_OR_RETURN(const bool found, tracee.Read(filters.size(), filter));
    if (!found) return filters;
    if (filters.size() == kSeccompFiltersMax) {
      return Status(Code::kResourceExhausted,
                    "more than " + std::to_string(kSeccompFiltersMax) + " seccomp filters");
    }
    filters.push_back(std::move(filter));
  }
}

}  // namespace cryopod
