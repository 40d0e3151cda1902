#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>
#include <string>

#include "agent/os/file.h"

namespace cryopod::test {

// A process that does nothing (idle.cc), in a mount namespace of its own whose root is the
// directory `rootfs`, as a container's first process is; nothing that it has open is of the node.
// It is killed with the object.
class MountBox {
 public:
  using Act = std::function<bool()>;
  struct Acts {
    Act before;  // mounts beneath `rootfs`, while the paths of the node are there
    Act after;   // with `rootfs` as root
  };

  MountBox(const std::string& rootfs, const std::string& cgroup_dir, const Acts& acts) {
    // Executed from the root file system: the program is one of the files that a process has open.
    std::filesystem::copy_file(CRYOPOD_IDLE_PROGRAM, rootfs + "/idle",
                               std::filesystem::copy_options::skip_existing);
    Pipe pipe = MakePipe().value();
    pid_ = ::fork();
    if (pid_ == 0) Live(rootfs, cgroup_dir, acts, pipe.write_end.get());
    pipe.write_end.Reset();
    char word = 0;  // written when something failed; the exec closes the other end
    EXPECT_EQ(::read(pipe.read_end.get(), &word, 1), 0) << "the box was not set up";
  }
  MountBox(const MountBox&) = delete;
  MountBox& operator=(const MountBox&) = delete;
  ~MountBox() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  // For an `after` that wants another file than the root's to be the program.
  static void Execute(int program) {
    char* const nothing[] = {nullptr};
    ::syscall(SYS_execveat, program, "", nothing, nothing, AT_EMPTY_PATH);
  }

  pid_t pid() const { return pid_; }
  Status Kill(int signal) const {
    return ::kill(pid_, signal) == 0 ? Status() : ErrnoStatus(errno, "kill", "the box");
  }

 private:
  static constexpr unsigned kLifeSeconds = 120;

  static bool Enter(const std::string& rootfs, const std::string& cgroup_dir, const Acts& acts) {
    if (!cgroup_dir.empty()) {
      const Result<UniqueFd> cgroup = OpenDirectory(cgroup_dir);
      if (!cgroup.ok() || !WriteControlFileAt(cgroup->get(), "cgroup.procs", "0").ok())
        return false;
    }
    const char* const root = rootfs.c_str();
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount(root, root, nullptr, MS_BIND, nullptr) == 0 &&
           // It may lie on a mount from which nothing can be executed.
           ::mount(nullptr, root, nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0 &&
           (!acts.before || acts.before()) && ::chdir(root) == 0 &&
           ::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0 &&
           ::chdir("/") == 0;
  }

  [[noreturn]] static void Live(const std::string& rootfs, const std::string& cgroup_dir,
                                const Acts& acts, int pipe_fd) {
    ::alarm(kLifeSeconds);  // should nobody be left to kill it
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int number : {0, 1, 2}) ::dup2(null, number);
    // What the test itself was given by whoever runs it; ours are closed by the exec anyway.
    ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    if (Enter(rootfs, cgroup_dir, acts)) {
      const int program = ::open("/idle", O_PATH | O_CLOEXEC);
      if (!acts.after || acts.after()) Execute(program);
    }
    (void)!::write(pipe_fd, "-", 1);
    ::_exit(1);
  }

  pid_t pid_ = -1;
};

}  // namespace cryopod::test
