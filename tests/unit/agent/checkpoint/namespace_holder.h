#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "agent/os/unique_fd.h"

namespace cryopod::checkpoint::test {

// A process in namespaces of its own that waits to be killed; in a new PID namespace it is the
// first process, as a container's is. It reaps nobody. `prepare` runs in it before we are ready.
class NamespaceHolder {
 public:
  explicit NamespaceHolder(int flags, const std::function<bool()>& prepare = {}) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    // Only children of who calls unshare are in the new PID namespace.
    middle_ = ::fork();
    if (middle_ == 0) Hold(flags, prepare, write_end.get());
    write_end.Reset();
    Report report;
    if (::read(read_end.get(), &report, sizeof report) != sizeof report) return;
    init_ = report.init;
    ready_ = report.prepared;
  }
  NamespaceHolder(const NamespaceHolder&) = delete;
  NamespaceHolder& operator=(const NamespaceHolder&) = delete;
  ~NamespaceHolder() {
    if (init_ > 0) ::kill(init_, SIGKILL);
    if (middle_ > 0) ::waitpid(middle_, nullptr, 0);
  }

  bool ready() const { return ready_; }
  pid_t init() const { return init_; }

 private:
  struct Report {
    pid_t init = -1;
    bool prepared = false;
  };

  [[noreturn]] static void Hold(int flags, const std::function<bool()>& prepare, int report_fd) {
    int ends[2];
    if (::unshare(flags) != 0 || ::pipe2(ends, O_CLOEXEC) != 0) ::_exit(1);
    Report report;
    report.init = ::fork();
    if (report.init == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const bool prepared = !prepare || prepare();
      (void)!::write(ends[1], &prepared, sizeof prepared);
      while (true) ::pause();
    }
    ::close(ends[1]);
    if (::read(ends[0], &report.prepared, 1) != 1) report.prepared = false;
    (void)!::write(report_fd, &report, sizeof report);
    ::close(report_fd);
    ::waitpid(report.init, nullptr, 0);
    ::_exit(0);
  }

  pid_t middle_ = -1;
  pid_t init_ = -1;
  bool ready_ = false;
};

}  // namespace cryopod::checkpoint::test
