// States of a process that a restore with CRIU can or cannot give back, made for real: by the
// workload process_states, and by tests in a process of their own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace cryopod::workload {

class ProcessStates {
 public:
  // Files are made in a folder of this one.
  explicit ProcessStates(std::string folder = "/tmp") : folder_(std::move(folder)) {}

  // Makes the state of this name; false, with errno, when it cannot be made.
  bool Hold(const std::string& name) {
    const std::size_t colon = name.find(':');
    const std::string kind = name.substr(0, colon);
    const std::string argument = colon == name.npos ? "" : name.substr(colon + 1);
    const std::map<std::string, std::function<bool()>> kinds = {
        {"timer_to_process", [&] { return MakeTimer(CLOCK_MONOTONIC, 0); }},
        {"timer_to_first_thread", [&] { return MakeTimer(CLOCK_MONOTONIC, ::getpid()); }},
        {"timer_to_other_thread", [&] { return MakeTimer(CLOCK_MONOTONIC, StartThread()); }},
        {"timer_to_ended_thread", [&] { return MakeTimerToEndedThread(); }},
        {"clock_of_only_thread", [&] { return MakeTimer(CLOCK_THREAD_CPUTIME_ID, 0); }},
        {"clock_of_thread", [&] { return MakeTimerOnThreadsClock(); }},
        {"file", [&] { return Open(argument); }},
        {"thread_file", [&] { return Open("/proc/self/task/" + Number(StartThread()) + "/stat"); }},
        {"thread_file_by_number", [&] { return Open("/proc/" + Number(StartThread()) + "/stat"); }},
        {"thread_directory",
         [&] { return ::chdir(("/proc/self/task/" + Number(StartThread())).c_str()) == 0; }},
        {"process_file", [&] { return OpenFilesOfProcess(); }},
        {"ended_process_file", [&] { return OpenFileOfEndedProcess(); }},
        {"orphan_of_init", [&] { return MakeOrphan(false, false); }},
        {"orphan_of_subreaper", [&] { return MakeOrphan(true, false); }},
        {"zombie_of_subreaper", [&] { return MakeOrphan(true, true); }},
        {"orphan_beside_leader", [&] { return MakeOrphanBesideItsLeader(); }},
        {"stopped_child", [&] { return MakeStoppedChild(); }},
        {"child_older_than_session", [&] { return MakeChildOlderThanSession(); }},
        {"pipes", [&] { return MakePipes(std::atoi(argument.c_str())); }},
        {"fifos", [&] { return MakeFifos(std::atoi(argument.c_str())); }},
    };
    const auto found = kinds.find(kind);
    errno = EINVAL;
    return found != kinds.end() && found->second();
  }

  // Empty when all that is held is as it was.
  std::string Verify() const {
    for (const timer_t timer : timers_) {
      itimerspec left{};
      if (::timer_gettime(timer, &left) != 0) return "a timer is gone";
      if (left.it_value.tv_sec == 0) return "a timer does not run";
    }
    for (const int fd : files_) {
      char byte = 0;
      if (::pread(fd, &byte, 1, 0) != 1) return "a file of /proc cannot be read";
    }
    for (const auto& [orphan, session] : orphans_) {
      if (::getsid(orphan) != session) return "an orphan is in another session, or gone";
    }
    for (const pid_t child : stopped_) {
      if (StateOf(child) != 'T') return "a child that was stopped is not";
      int status = 0;
      // CRIU stops it anew, of which we hear: whether we had heard of it before, nobody can tell.
      const pid_t changed = ::waitpid(child, &status, WNOHANG | WUNTRACED | WCONTINUED);
      if (changed != 0 && !(changed == child && WIFSTOPPED(status))) {
        return "a child that was stopped has changed: " + std::to_string(status);
      }
    }
    for (const auto& [reading, writing] : pipes_) {
      char byte = 'x';
      if (::write(writing, &byte, 1) != 1 || ::read(reading, &byte, 1) != 1) {
        return "a pipe carries nothing";
      }
    }
    return "";
  }

  void Corrupt() {
    for (const timer_t timer : timers_) ::timer_delete(timer);
    for (const int fd : files_) ::close(fd);
    // Their numbers stay taken: a connection must not get one, and with it what is written.
    const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const auto& [reading, writing] : pipes_) ::dup3(nothing, writing, O_CLOEXEC);
    for (const pid_t child : stopped_) ::kill(child, SIGCONT);
    for (const auto& [orphan, session] : orphans_) {
      ::kill(orphan, SIGKILL);
      for (int i = 0; i < 5000 && ::getsid(orphan) == session; ++i) ::usleep(1000);
    }
  }

 private:
  static std::string Number(pid_t number) { return std::to_string(number); }

  static pid_t StartThread() {
    const auto started = std::make_shared<std::promise<pid_t>>();
    std::thread([started] {
      started->set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
      for (;;) ::pause();
    }).detach();
    return started->get_future().get();
  }

  // Far away, so that it never fires. To the process when `thread` is 0.
  bool MakeTimer(clockid_t clock, pid_t thread) {
    struct sigevent event {};
    event.sigev_notify = thread == 0 ? SIGEV_SIGNAL : SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR2;
    event._sigev_un._tid = thread;
    timer_t timer = nullptr;
    if (::timer_create(clock, &event, &timer) != 0) return false;
    timers_.push_back(timer);
    const itimerspec hours = {.it_interval = {}, .it_value = {.tv_sec = 36'000, .tv_nsec = 0}};
    return ::timer_settime(timer, 0, &hours, nullptr) == 0;
  }

  bool MakeTimerToEndedThread() {
    bool made = false;
    std::thread([&] {
      made = MakeTimer(CLOCK_MONOTONIC, static_cast<pid_t>(::syscall(SYS_gettid)));
    }).join();
    return made;
  }

  bool MakeTimerOnThreadsClock() {
    const auto made = std::make_shared<std::promise<bool>>();
    std::thread([this, made] {
      made->set_value(MakeTimer(CLOCK_THREAD_CPUTIME_ID, 0));
      for (;;) ::pause();
    }).detach();
    return made->get_future().get();
  }

  bool Open(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    files_.push_back(fd);
    return true;
  }

  bool OpenFilesOfProcess() {
    return Open("/proc/self/stat") && Open("/proc/self/task/" + Number(::getpid()) + "/stat") &&
           ::open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 && Open("/proc/stat");
  }

  // Nothing can be read from it any more.
  static bool OpenFileOfEndedProcess() {
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) ::pause();
    }
    const bool opened =
        ::open(("/proc/" + Number(child) + "/stat").c_str(), O_RDONLY | O_CLOEXEC) >= 0;
    ::kill(child, SIGKILL);
    return ::waitpid(child, nullptr, 0) == child && opened;
  }

  // A process whose session's leader, its parent, has ended, and whom a subreaper beneath us has
  // adopted, or the first process of the PID namespace; if it `ends`, nobody waits for it.
  bool MakeOrphan(bool has_subreaper, bool ends) {
    const auto become = [&](int report_fd) {
      if (has_subreaper) ::prctl(PR_SET_CHILD_SUBREAPER, 1);
      const pid_t leader = ::fork();
      if (leader == 0) LeadAndLeave(report_fd, ends);
      ::waitpid(leader, nullptr, 0);
    };
    return KeepChild(become, ends);
  }

  [[noreturn]] static void LeadAndLeave(int report_fd, bool ends) {
    ::setsid();
    const pid_t leader = ::getpid();
    const pid_t orphan = ::fork();
    if (orphan != 0) ::_exit(0);
    while (::getppid() == leader) ::usleep(1000);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Tell(report_fd);
    if (ends) ::_exit(0);
    ::close(report_fd);
    for (;;) ::pause();
  }

  // As above, and the session's leader lives: a child of the same subreaper.
  bool MakeOrphanBesideItsLeader() {
    return KeepChild([](int report_fd) {
      ::prctl(PR_SET_CHILD_SUBREAPER, 1);
      if (::fork() != 0) return;
      ::setsid();
      const pid_t middle = ::fork();
      if (middle == 0) {
        const pid_t parent = ::getpid();
        if (::fork() != 0) ::_exit(0);
        while (::getppid() == parent) ::usleep(1000);
        Tell(report_fd);
      }
      ::waitpid(middle, nullptr, 0);
    });
  }

  // A child that has stopped itself, of which its parent has heard.
  bool MakeStoppedChild() {
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::raise(SIGSTOP);
      for (;;) ::pause();
    }
    stopped_.push_back(child);
    int status = 0;
    return ::waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status);
  }

  static char StateOf(pid_t pid) {
    const int fd = ::open(("/proc/" + Number(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
    char text[128] = {};
    const ssize_t size = fd < 0 ? 0 : ::read(fd, text, sizeof(text) - 1);
    ::close(fd);
    const std::size_t end =
        std::string_view(text, size > 0 ? static_cast<std::size_t>(size) : 0).rfind(") ");
    return end == std::string_view::npos ? '?' : text[end + 2];
  }

  bool MakeChildOlderThanSession() {
    return KeepChild([](int report_fd) {
      const pid_t child = ::fork();
      if (child != 0) {
        ::setsid();
        return;
      }
      while (::getsid(::getppid()) != ::getppid()) ::usleep(1000);
      Tell(report_fd);
    });
  }

  // Forks a process that runs `become`; so do those that it forks, and all of them wait then, for
  // children too unless the one that tells its PID and its session `ends`. Else both are to stay.
  bool KeepChild(const std::function<void(int)>& become, bool ends = false) {
    int pipe_ends[2];
    if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return false;
    if (::fork() == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      become(pipe_ends[1]);
      ::close(pipe_ends[1]);
      for (;;) {
        if (ends || ::waitpid(-1, nullptr, 0) < 0) ::pause();
      }
    }
    ::close(pipe_ends[1]);
    pid_t told[2] = {};
    bool made = ::read(pipe_ends[0], told, sizeof(told)) == sizeof(told);
    if (ends) {
      // The end of the file: it has closed its descriptors, which is nearly its end.
      made = made && ::read(pipe_ends[0], told, 1) == 0;
      ::usleep(50'000);
    } else if (made) {
      orphans_[told[0]] = told[1];
    }
    ::close(pipe_ends[0]);
    return made;
  }
  static void Tell(int report_fd) {
    const pid_t told[2] = {::getpid(), ::getsid(0)};
    (void)!::write(report_fd, told, sizeof(told));
  }

  static void AllowDescriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }

  bool MakePipes(int count) {
    AllowDescriptors();
    for (int i = 0; i < count; ++i) {
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) return false;
      pipes_.emplace_back(ends[0], ends[1]);
    }
    // A writing end alone needs no place for what waits in it.
    int ends[2];
    return ::pipe2(ends, O_CLOEXEC) == 0 && ::close(ends[0]) == 0;
  }

  bool MakeFifos(int count) {
    AllowDescriptors();
    std::string directory = folder_ + "/fifos-XXXXXX";
    if (::mkdtemp(directory.data()) == nullptr) return false;
    for (int i = 0; i < count; ++i) {
      const std::string path = directory + "/" + std::to_string(i);
      if (::mkfifo(path.c_str(), 0600) != 0) return false;
      const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      if (fd < 0) return false;
      pipes_.emplace_back(fd, fd);
    }
    return true;
  }

  std::string folder_;
  std::vector<timer_t> timers_;
  std::vector<int> files_;
  std::vector<pid_t> stopped_;
  std::map<pid_t, pid_t> orphans_;  // process → session
  std::vector<std::pair<int, int>> pipes_;
};

}  // namespace cryopod::workload
