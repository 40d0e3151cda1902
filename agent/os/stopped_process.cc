#include "agent/os/stopped_process.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "agent/os/deadline.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"

namespace cryopod {
namespace {

std::string NameOf(pid_t pid) { return "process " + std::to_string(pid); }

}  // namespace

Result<int> WaitForStop(pid_t pid, Deadline deadline) {
  while (true) {
    int state = 0;
    const pid_t changed = ::waitpid(pid, &state, __WALL | WNOHANG);
    if (changed < 0 && errno != EINTR) return ErrnoStatus(errno, "waitpid", NameOf(pid));
    if (changed == pid && WIFSTOPPED(state)) return WSTOPSIG(state);
    if (changed == pid) return Status(Code::kNotFound, NameOf(pid) + " has ended");
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded, NameOf(pid) + " does not stop for ptrace");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

#if defined(__x86_64__)

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A held process does nothing else; this ends what the kernel would never answer.
constexpr seconds kStopTimeout{5};
constexpr size_t kMapsBytesMax = size_t{64} << 20;
constexpr size_t kVdsoBytesMax = size_t{1} << 20;
constexpr unsigned long long k64BitCodeSegment = 0x33;
constexpr std::string_view kSyscallInstruction("\x0f\x05", 2);
// Below the 128 bytes under the stack pointer that a function may use.
constexpr uint64_t kBelowStack = 256;

// PTRACE_O_TRACESYSGOOD marks the stops of a system call with it.
constexpr int kSyscallStop = SIGTRAP | 0x80;

Status Trace(long request, pid_t pid, uint64_t address, void* data, std::string_view doing) {
  if (::ptrace(static_cast<__ptrace_request>(request), pid, address, data) == 0) return Status();
  return ErrnoStatus(errno, doing, NameOf(pid));
}

// Where the process has an instruction that enters the kernel: every one has the kernel's own code.
Result<uint64_t> FindSyscall(pid_t pid, int memory_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string maps,
                           ReadFile("/proc/" + std::to_string(pid) + "/maps", kMapsBytesMax));
  const size_t found = maps.find("[vdso]");
  if (found == std::string::npos) {
    return Status(Code::kFailedPrecondition, NameOf(pid) + " has no vdso");
  }
  const size_t line = maps.rfind('\n', found) + 1;
  char* end = nullptr;
  const uint64_t first = std::strtoull(maps.c_str() + line, &end, 16);
  const uint64_t last = *end == '-' ? std::strtoull(end + 1, nullptr, 16) : 0;
  if (last <= first || last - first > kVdsoBytesMax) {
    return Status(Code::kInternal, NameOf(pid) + " has a vdso that cannot be");
  }
  std::string code(last - first, '\0');
  if (::pread(memory_fd, code.data(), code.size(), static_cast<off_t>(first)) !=
      static_cast<ssize_t>(code.size())) {
    return ErrnoStatus(errno, "reading the vdso of", NameOf(pid));
  }
  const size_t at = code.find(kSyscallInstruction);
  if (at == std::string::npos) {
    return Status(Code::kFailedPrecondition, "the vdso makes no system call");
  }
  return first + at;
}

// What a system call needs changed in a held process, and changed back.
class Loan {
 public:
  explicit Loan(pid_t pid) : pid_(pid) {}
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  ~Loan() { static_cast<void>(GiveBack().ok()); }

  Status Take() {
    CRYOPOD_ASSIGN_OR_RETURN(memory_,
                             OpenAt(AT_FDCWD, "/proc/" + std::to_string(pid_) + "/mem", O_RDWR));
    CRYOPOD_RETURN_IF_ERROR(Trace(PTRACE_GETREGS, pid_, 0, &registers_, "reading registers of"));
    if (registers_.cs != k64BitCodeSegment) {
      return Status(Code::kUnimplemented, NameOf(pid_) + " is no 64-bit process");
    }
    CRYOPOD_ASSIGN_OR_RETURN(syscall_, FindSyscall(pid_, memory_.get()));
    parameter_ = (registers_.rsp - kBelowStack) & ~uint64_t{15};
    if (::pread(memory_.get(), kept_, sizeof(kept_), static_cast<off_t>(parameter_)) !=
        static_cast<ssize_t>(sizeof(kept_))) {
      return ErrnoStatus(errno, "reading the stack of", NameOf(pid_));
    }
    CRYOPOD_RETURN_IF_ERROR(
        Trace(PTRACE_GETSIGMASK, pid_, sizeof(mask_), &mask_, "reading the signals of"));
    taken_ = true;
    // A signal that waits would be delivered first, and its handler run.
    uint64_t all = ~uint64_t{0};
    return Trace(PTRACE_SETSIGMASK, pid_, sizeof(all), &all, "blocking the signals of");
  }

  // Calls fcntl; the result as the kernel gives it: negative errno.
  Result<int64_t> CallFcntl(int fd, int command, const struct flock& lock) {
    static_assert(sizeof(lock) <= sizeof(kept_));
    if (::pwrite(memory_.get(), &lock, sizeof(lock), static_cast<off_t>(parameter_)) !=
        static_cast<ssize_t>(sizeof(lock))) {
      return ErrnoStatus(errno, "writing the stack of", NameOf(pid_));
    }
    user_regs_struct call = registers_;
    call.rip = syscall_;
    call.rax = SYS_fcntl;
    call.orig_rax = ~0ull;  // no interrupted call is to be restarted here
    call.rdi = static_cast<uint64_t>(fd);
    call.rsi = static_cast<uint64_t>(command);
    call.rdx = parameter_;
    CRYOPOD_RETURN_IF_ERROR(Trace(PTRACE_SETREGS, pid_, 0, &call, "setting registers of"));
    for ([[maybe_unused]] const char* side : {"enter", "leave"}) {
      CRYOPOD_RETURN_IF_ERROR(GoToSyscallStop());
    }
    CRYOPOD_RETURN_IF_ERROR(Trace(PTRACE_GETREGS, pid_, 0, &call, "reading registers of"));
    return static_cast<int64_t>(call.rax);
  }

  Status GiveBack() {
    if (!taken_) return Status();
    taken_ = false;
    const bool written =
        ::pwrite(memory_.get(), kept_, sizeof(kept_), static_cast<off_t>(parameter_)) ==
        static_cast<ssize_t>(sizeof(kept_));
    Status memory = written ? Status() : ErrnoStatus(errno, "writing the stack of", NameOf(pid_));
    Status registers = Trace(PTRACE_SETREGS, pid_, 0, &registers_, "setting registers of");
    const Status mask =
        Trace(PTRACE_SETSIGMASK, pid_, sizeof(mask_), &mask_, "unblocking the signals of");
    if (is_stop_kept_) ::kill(pid_, SIGSTOP);
    if (!registers.ok()) return registers;
    return mask.ok() ? memory : mask;
  }

 private:
  // The one signal that nothing can block waits here until the process has its own again.
  Status GoToSyscallStop() {
    while (true) {
      CRYOPOD_RETURN_IF_ERROR(Trace(PTRACE_SYSCALL, pid_, 0, nullptr, "resuming"));
      CRYOPOD_ASSIGN_OR_RETURN(const int signal, WaitForStop(pid_, Deadline::After(kStopTimeout)));
      if (signal == kSyscallStop) return Status();
      if (signal != SIGSTOP || is_stop_kept_) {
        return Status(Code::kInternal, NameOf(pid_) + " stopped with signal " +
                                           std::to_string(signal) + " on its way to a call");
      }
      is_stop_kept_ = true;
    }
  }

  const pid_t pid_;
  UniqueFd memory_;
  user_regs_struct registers_ = {};
  uint64_t syscall_ = 0;
  uint64_t parameter_ = 0;
  uint64_t mask_ = 0;
  char kept_[64] = {};
  bool taken_ = false;
  bool is_stop_kept_ = false;
};

}  // namespace

Result<StoppedProcess> StoppedProcess::Hold(pid_t pid) {
  CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo info, ReadProcessInfo(pid));
  if (info.tracer_pid == ::getpid()) return StoppedProcess(pid, false);
  if (info.state != 'T') {
    return Status(Code::kFailedPrecondition, NameOf(pid) + " does not stand still");
  }
  // ptrace(2) takes options where others take an address. NOLINTNEXTLINE(performance-no-int-to-ptr)
  void* const options = reinterpret_cast<void*>(PTRACE_O_TRACESYSGOOD);
  CRYOPOD_RETURN_IF_ERROR(Trace(PTRACE_SEIZE, pid, 0, options, "seizing"));
  StoppedProcess held(pid, true);
  // One that is in a group stop already reports that stop.
  CRYOPOD_RETURN_IF_ERROR(WaitForStop(pid, Deadline::After(kStopTimeout)).status());
  return held;
}

StoppedProcess::~StoppedProcess() {
  // The group stop is still in effect, so it goes back into it.
  if (pid_ != 0 && detaches_) ::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
}

Status StoppedProcess::SetRecordLock(int fd, const struct flock& lock) {
  Loan loan(pid_);
  CRYOPOD_RETURN_IF_ERROR(loan.Take());
  CRYOPOD_ASSIGN_OR_RETURN(const int64_t answer, loan.CallFcntl(fd, F_SETLK, lock));
  CRYOPOD_RETURN_IF_ERROR(loan.GiveBack());
  if (answer == 0) return Status();
  return ErrnoStatus(static_cast<int>(-answer), "fcntl F_SETLK",
                     "descriptor " + std::to_string(fd));
}

#else

Result<StoppedProcess> StoppedProcess::Hold(pid_t) {
  return Status(Code::kUnimplemented, "a process can be made to call on x86-64 only");
}

StoppedProcess::~StoppedProcess() = default;

Status StoppedProcess::SetRecordLock(int, const struct flock&) {
  return Status(Code::kUnimplemented, "a process can be made to call on x86-64 only");
}

#endif

}  // namespace cryopod
