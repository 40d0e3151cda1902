#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "agent/os/file.h"

namespace cryopod::test {

// A process in new UTS, IPC, PID and mount namespaces that waits until the object goes. In the PID
// namespace it is process 1.
class NamespaceHolder {
 public:
  NamespaceHolder() {
    Pipe pipe = MakePipe().value();
    // The first child's children are the ones in the new PID namespace.
    pid_ = ::fork();
    if (pid_ == 0) Hold(pipe.write_end.get());
    pipe.write_end.Reset();
    ready_ = ::read(pipe.read_end.get(), &init_pid_, sizeof init_pid_) == sizeof init_pid_;
  }
  NamespaceHolder(const NamespaceHolder&) = delete;
  NamespaceHolder& operator=(const NamespaceHolder&) = delete;
  ~NamespaceHolder() {
    if (init_pid_ > 0) ::kill(init_pid_, SIGKILL);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }

  bool ready() const { return ready_; }
  pid_t init() const { return init_pid_; }
  void EndInit() {
    ::kill(init_pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    init_pid_ = pid_ = -1;
  }
  // No child of this process may be left, neither running nor as a zombie: only the holder.
  void ExpectNoOtherChild() {
    EndInit();
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }
  UniqueFd Open(const std::string& name) const {
    const std::string path = "/proc/" + std::to_string(init_pid_) + "/ns/" + name;
    return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  }

 private:
  [[noreturn]] static void Hold(int report_fd) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNS) != 0) ::_exit(1);
    const pid_t init = ::fork();
    if (init == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      while (true) ::pause();
    }
    if (::write(report_fd, &init, sizeof init) != sizeof init) ::_exit(1);
    ::close(report_fd);
    ::waitpid(init, nullptr, 0);
    ::_exit(0);
  }

  bool ready_ = false;
  pid_t pid_ = -1;
  pid_t init_pid_ = -1;
};

}  // namespace cryopod::test
