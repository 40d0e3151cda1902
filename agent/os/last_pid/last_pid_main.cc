// cryopod-last-pid: tells the PID that a PID namespace has given out last, from within. It is not
// installed: whoever needs it has it in itself (last_pid.cc) and executes it from memory.
//
// A process of ours that is in a pod's PID namespace is looked at, traced and used by whatever of
// the pod has CAP_SYS_PTRACE: the capability counts against every process that is seen, whatever
// that has given up itself. So there must be nothing to be had from it. Its memory holds no more
// than this program; the file that it executes is sealed memory; its namespaces are the pod's, its
// root is empty; its descriptors are pipes (a socket would lead to the process at its other end:
// SO_PEERPIDFD, then pidfd_getfd) and one file on a mount of its own; it has no user, no capability
// and few system calls. All that holds before the fork that makes it visible.
//
// Descriptors  0 a byte for every question   1 answers: an int when it is inside, then lines
//              2 ns_last_pid, which shows the namespace of its reader, whoever has opened it
//              3 pidfd of a process in the namespace   4 directory that becomes the root
//              5 this program
// Source       setns(2) (pidfd: Linux 5.8), ptrace(2) (access mode checking), credentials(7).
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "agent/os/confinement.h"

namespace cryopod {
namespace {

constexpr int kQuestions = 0;
constexpr int kAnswers = 1;
constexpr int kLastPidFile = 2;
constexpr int kTarget = 3;
constexpr int kRoot = 4;
constexpr size_t kLineBytesMax = 64;

// Above what useradd, systemd and kubelets give out, so that nobody else has it.
constexpr uid_t kNobody = 4'000'000'000;
// Of all processes of that user: two for every checkpoint on the machine.
constexpr rlim_t kProcessesMax = 512;
constexpr timespec kEndWait = {.tv_sec = 1, .tv_nsec = 0};

[[noreturn]] void Answer(int error) {
  const bool told = ::write(kAnswers, &error, sizeof error) == sizeof error;
  ::_exit(told ? 0 : 1);
}

void SetLimit(__rlimit_resource resource, rlim_t value) {
  const rlimit limit = {.rlim_cur = value, .rlim_max = value};
  ::setrlimit(resource, &limit);
}

// Afterwards the namespaces of this process lead nowhere that the target's do not.
bool LeaveTheNode() {
  constexpr int kNamespaces =
      CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  return ::setns(kTarget, kNamespaces) == 0 && ::fchdir(kRoot) == 0 && ::chroot(".") == 0 &&
         ::syscall(SYS_close_range, kTarget, ~0U, 0) == 0;
}

bool BecomeNobody() {
  SetLimit(RLIMIT_CORE, 0);
  SetLimit(RLIMIT_FSIZE, 0);
  SetLimit(RLIMIT_NPROC, kProcessesMax);
  SetLimit(RLIMIT_NOFILE, kTarget);
  return EmptyBoundingSet().ok() && ::syscall(SYS_setgroups, 0, nullptr) == 0 &&
         ::syscall(SYS_setresgid, kNobody, kNobody, kNobody) == 0 &&
         ::syscall(SYS_setresuid, kNobody, kNobody, kNobody) == 0 && GiveUpCapabilities().ok() &&
         // After the change of user, which sets it as it likes.
         ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

sigset_t BlockEnds() {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  return ends;
}

// The change of user has taken the death signal back. False when the parent has ended already.
bool EndWithParent(pid_t parent) {
  return ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0 && ::getppid() == parent;
}

[[noreturn]] void ServeInside() {
  std::array<char, kLineBytesMax> line{};
  char question = 0;
  while (::read(kQuestions, &question, 1) == 1) {
    const ssize_t length = ::pread(kLastPidFile, line.data(), line.size(), 0);
    if (length <= 0 || ::write(kAnswers, line.data(), static_cast<size_t>(length)) != length) break;
  }
  ::_exit(0);
}

// Stays until the child has ended, or SIGTERM says that it shall, and reaps it: until somebody has,
// the end of the namespace's first process would wait for it. Somebody who traces the child could
// keep it for ever; then the first process has to wait for what one of its own has done.
[[noreturn]] void StayUntilItEnds(pid_t inside, const sigset_t& ends) {
  const auto has_ended = [inside] { return ::waitpid(inside, nullptr, WNOHANG) != 0; };
  while (!has_ended()) {
    if (::sigwaitinfo(&ends, nullptr) == SIGTERM) break;
  }
  ::kill(inside, SIGKILL);
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  while (!has_ended() && ::sigtimedwait(&child, nullptr, &kEndWait) == SIGCHLD) {
  }
  ::_exit(0);
}

int Run() {
  const pid_t parent = ::getppid();
  ::prctl(PR_SET_NAME, "cryopod-lastpid");
  ::setsid();
  const sigset_t ends = BlockEnds();
  if (!LeaveTheNode() || !BecomeNobody()) Answer(errno);
  if (!EndWithParent(parent)) ::_exit(1);
  const Status filtered =
      AllowOnlySystemCalls({SYS_read, SYS_pread64, SYS_write, SYS_clone, SYS_kill, SYS_wait4,
                            SYS_rt_sigtimedwait, SYS_close, SYS_exit_group});
  if (!filtered.ok()) Answer(EPERM);
  // fork(3) makes more calls than this one.
  const long inside = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (inside == 0) ServeInside();
  if (inside < 0) Answer(errno);
  const int entered = 0;
  (void)!::write(kAnswers, &entered, sizeof entered);
  // The end of the one inside is to be seen at the other end.
  for (const int number : {kQuestions, kAnswers, kLastPidFile}) ::close(number);
  StayUntilItEnds(static_cast<pid_t>(inside), ends);
}

}  // namespace
}  // namespace cryopod

int main() { return cryopod::Run(); }
