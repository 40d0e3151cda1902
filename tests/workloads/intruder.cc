// Looks for a way out of its container: through every process that it sees and did not see when it
// was started.
//
//   intruder MARKER WORD
//
// MARKER is a file of the node, by its path there, which holds "x" and WORD: what has come into
// another process from our command line is no way out. A way out is: MARKER can be read through
// root, cwd or a directory among the descriptors of a process; "x" and WORD are in its memory; a
// descriptor of it leads to a process that is not here; it executes a file that is not sealed.
// Nothing is kept open longer than a look takes, so that a dump may come between.
//
// It wants CAP_SYS_PTRACE. verify is bad once a way out was found; report tells how many processes
// were looked at, how many of them are cryopod's by their name, how often memory of those was read,
// a descriptor taken and one traced, all names, and how many ways the container runtime leaves
// open.
#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <array>
#include <set>
#include <vector>

#include "tests/workloads/workload.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace cryopod::workload {
namespace {

constexpr int kDescriptorsMax = 64;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr std::size_t kNamesBytesMax = 1000;
constexpr int kLooksMax = 200;
constexpr std::chrono::microseconds kPause{50};
constexpr std::string_view kOurs = "cryopod";
constexpr std::string_view kRuntime = "runc";

std::string Slurp(const std::string& path) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return text;
  std::array<char, 4096> piece;
  ssize_t got = 0;
  while ((got = ::read(fd, piece.data(), piece.size())) > 0 && text.size() < kPieceBytes) {
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  ::close(fd);
  return text;
}

std::string LinkOf(const std::string& path) {
  std::array<char, 512> target;
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  return std::string(target.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
}

class Intruder final : public Workload {
 public:
  Intruder(std::string marker, const std::string& word)
      : marker_(std::move(marker)), word_("x" + word) {
    known_ = Pids();
  }

  void Start() {
    std::thread([this] {
      for (;;) {
        for (const pid_t pid : Pids()) {
          if (!known_.contains(pid)) LookAt(pid);
        }
        std::this_thread::sleep_for(kPause);
      }
    }).detach();
  }

  JsonLine Report() override {
    const std::lock_guard lock(mutex_);
    return JsonLine()
        .Number("processes", looks_.size())
        .Number("ours", ours_.size())
        .Number("ours_read", used_[0])
        .Number("ours_taken_from", used_[1])
        .Number("ours_traced", used_[2])
        .Number("looks", all_looks_)
        .Number("ways_of_the_runtime", of_runtime_)
        .Text("names", names_);
  }
  std::string Verify() override { return found_.Reason(); }
  void Corrupt() override { found_.Add("corrupted"); }

 private:
  static std::set<pid_t> Pids() {
    std::set<pid_t> pids;
    DIR* const proc = ::opendir("/proc");
    if (proc == nullptr) Die("/proc");
    while (const dirent* const entry = ::readdir(proc)) {
      const int pid = std::atoi(entry->d_name);
      if (pid > 0) pids.insert(pid);
    }
    ::closedir(proc);
    return pids;
  }

  void LookAt(pid_t pid) {
    const std::string proc = "/proc/" + std::to_string(pid) + "/";
    std::string name = Slurp(proc + "comm");
    if (name.empty()) return;
    name.pop_back();
    if (LeadsOut(proc + "root") || LeadsOut(proc + "cwd")) Found(name, "shows the node");
    const bool is_ours = name.starts_with(kOurs);
    const int look = Count(pid, name, is_ours);
    if (look > kLooksMax) return;
    LookAtDescriptors(proc, name);
    const std::string program = is_ours ? LinkOf(proc + "exe") : "";
    if (!program.empty() && !program.starts_with("/memfd:")) Found(name, "executes " + program);
    // A pod that is about to be frozen can look once or twice: at each of ours it begins with
    // another way.
    const std::size_t way = (static_cast<std::size_t>(look) + ours_.size()) % used_.size();
    const bool done = Use(pid, proc, name, way);
    const std::lock_guard lock(mutex_);
    if (is_ours && done) ++used_[way];
  }

  bool Use(pid_t pid, const std::string& proc, const std::string& name, std::size_t way) {
    if (way == 0) return LookAtMemory(pid, proc, name);
    if (way == 1) return TakeDescriptors(pid, name);
    return name.starts_with(kOurs) && Trace(pid);
  }

  // What the container runtime leaves open by itself, in every exec and every start of a container
  // beside this one, is none of a checkpoint's doing.
  void Found(const std::string& name, const std::string& what) {
    if (!name.starts_with(kRuntime)) return found_.Add(name + " " + what);
    const std::lock_guard lock(mutex_);
    ++of_runtime_;
  }

  int Count(pid_t pid, const std::string& name, bool is_ours) {
    const std::lock_guard lock(mutex_);
    ++all_looks_;
    if (is_ours) ours_.insert(pid);
    if (told_.insert(name).second && names_.size() < kNamesBytesMax) names_ += name + " ";
    return looks_[pid]++;
  }

  bool LeadsOut(const std::string& directory) const {
    return Slurp(directory + "/../../../../../../../.." + marker_).find(word_) !=
               std::string::npos ||
           Slurp(directory + marker_).find(word_) != std::string::npos;
  }

  void LookAtDescriptors(const std::string& proc, const std::string& name) {
    for (int number = 0; number < kDescriptorsMax; ++number) {
      const std::string fd = proc + "fd/" + std::to_string(number);
      struct stat info {};
      if (::stat(fd.c_str(), &info) != 0) continue;
      if (S_ISDIR(info.st_mode) && LeadsOut(fd)) Found(name, "holds " + LinkOf(fd));
    }
  }

  bool LookAtMemory(pid_t pid, const std::string& proc, const std::string& name) {
    const std::string maps = Slurp(proc + "maps");
    std::vector<char> piece(kPieceBytes);
    bool read = false;
    for (std::size_t at = 0; at < maps.size();
         at = std::min(maps.find('\n', at), maps.size()) + 1) {
      unsigned long begin = 0;
      unsigned long end = 0;
      if (std::sscanf(maps.c_str() + at, "%lx-%lx r", &begin, &end) != 2) continue;
      for (; begin < end; begin += piece.size()) {
        const iovec here = {piece.data(), std::min<std::size_t>(piece.size(), end - begin)};
        const iovec there = {reinterpret_cast<void*>(begin), here.iov_len};
        const ssize_t got = ::process_vm_readv(pid, &here, 1, &there, 1, 0);
        if (got <= 0) break;
        read = true;
        const std::string_view bytes(piece.data(), static_cast<std::size_t>(got));
        if (bytes.find(word_) != std::string_view::npos) Found(name, "knows the word");
      }
    }
    return read;
  }

  // The other end of a socket may be a process that is not here.
  bool TakeDescriptors(pid_t pid, const std::string& name) {
    const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    bool any = false;
    for (int number = 0; process >= 0 && number < kDescriptorsMax; ++number) {
      const int taken = static_cast<int>(::syscall(SYS_pidfd_getfd, process, number, 0));
      if (taken < 0) continue;
      any = true;
      int peer = -1;
      socklen_t size = sizeof peer;
      if (::getsockopt(taken, SOL_SOCKET, SO_PEERPIDFD, &peer, &size) == 0) {
        const std::string info = Slurp("/proc/self/fdinfo/" + std::to_string(peer));
        if (info.find("\nPid:\t0") != std::string::npos) Found(name, "has a peer outside");
        ::close(peer);
      }
      ::close(taken);
    }
    if (process >= 0) ::close(process);
    return any;
  }

  static bool Trace(pid_t pid) {
    if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) return false;
    ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
    int status = 0;
    const bool stopped = ::waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);
    // One that is killed in between would stay a zombie until we have waited for it.
    if (stopped && ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr) != 0) {
      ::waitpid(pid, &status, __WALL);
    }
    return stopped;
  }

  const std::string marker_;
  const std::string word_;
  std::set<pid_t> known_;
  Violations found_;

  std::mutex mutex_;  // of all below
  std::map<pid_t, int> looks_;
  std::uint64_t all_looks_ = 0;
  std::uint64_t of_runtime_ = 0;
  std::set<pid_t> ours_;
  std::array<std::uint64_t, 3> used_ = {};  // memory, descriptors, tracing
  std::set<std::string> told_;
  std::string names_;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("intruder", argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: intruder MARKER WORD\n");
    return 3;
  }
  static Intruder intruder(argv[1], argv[2]);
  intruder.Start();
  Serve("intruder", intruder);
}
