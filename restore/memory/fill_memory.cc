#include "restore/memory/fill_memory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <future>
#include <map>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "agent/criu/images/fill_list.h"
#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"

namespace cryopod::restore {
namespace {

// Stays in the processor's cache between its reading and its writing.
constexpr uint64_t kBufferBytes = uint64_t{1} << 20;
// More of them wait for each other: all write under the lock of one address space.
constexpr int kWorkers = 2;

struct Target {
  pid_t pid = 0;  // on this node
  UniqueFd pidfd;
};

struct KeptPages {
  UniqueFd file;
  uint64_t bytes = 0;
};

// At most kBufferBytes of a fill.
struct Piece {
  const Target* target = nullptr;
  int file = -1;
  uint64_t address = 0;
  uint64_t bytes = 0;
  uint64_t offset = 0;
};

std::string Name(pid_t pid) { return "process " + std::to_string(pid); }

// Those of the container's processes that are `wanted`, by their PIDs in its PID namespace, which
// is the one of its init.
Result<std::map<pid_t, Target>> FindTargets(const jobs::ContainerReport& container,
                                            const std::set<pid_t>& wanted) {
  CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo init, ReadProcessInfo(container.pid));
  CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::Open(container.cgroup_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroup.Processes());
  const size_t depth = init.namespace_pids.size();
  std::map<pid_t, Target> targets;
  for (const pid_t pid : pids) {
    CRYOPOD_ASSIGN_OR_RETURN(UniqueFd pidfd, OpenPidfd(pid));
    // Read with the descriptor in hand: it is this very process that is in the container.
    CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo info, ReadProcessInfo(pid));
    if (IsZombie(info) || info.namespace_pids.size() < depth || depth == 0) continue;
    if (pid == container.pid && info.start_time_ticks != container.start_time_ticks) continue;
    const pid_t inner_pid = info.namespace_pids[depth - 1];
    if (wanted.contains(inner_pid)) targets[inner_pid] = {pid, std::move(pidfd)};
  }
  return targets;
}

class Filling {
 public:
  Filling(const std::map<pid_t, Target>& targets, Deadline deadline)
      : targets_(targets), deadline_(deadline) {}

  Status Prepare(const std::vector<criu::Fill>& fills, const std::string& images_dir) {
    for (const criu::Fill& fill : fills) {
      const auto target = targets_.find(fill.pid);
      if (target == targets_.end()) {
        return Status(Code::kNotFound, Name(fill.pid) + " of the archive was not restored",
                      Reason::kNotVerified);
      }
      CRYOPOD_ASSIGN_OR_RETURN(const KeptPages* kept, Open(images_dir, fill.pages_id));
      if (fill.offset > kept->bytes || fill.bytes > kept->bytes - fill.offset) {
        return Status(Code::kDataLoss, "fewer pages are staged than are to be filled");
      }
      for (uint64_t done = 0; done < fill.bytes; done += kBufferBytes) {
        pieces_.push_back({&target->second, kept->file.get(), fill.address + done,
                           std::min(fill.bytes - done, kBufferBytes), fill.offset + done});
      }
    }
    return Status();
  }

  Status Run() {
    std::vector<std::future<Status>> workers;
    for (int i = 1; i < kWorkers; ++i) {
      workers.push_back(std::async(std::launch::async, [this] { return Work(); }));
    }
    Status first = Work();
    for (std::future<Status>& worker : workers) {
      const Status worked = worker.get();
      if (first.ok()) first = worked;
    }
    return first;
  }

 private:
  Result<const KeptPages*> Open(const std::string& images_dir, uint32_t pages_id) {
    const auto found = kept_.find(pages_id);
    if (found != kept_.end()) return &found->second;
    const std::string path = images_dir + "/" + criu::KeptPagesFile(pages_id);
    KeptPages kept;
    CRYOPOD_ASSIGN_OR_RETURN(kept.file, OpenAt(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW));
    struct stat attributes {};
    if (::fstat(kept.file.get(), &attributes) != 0) return ErrnoStatus(errno, "fstat", path);
    kept.bytes = static_cast<uint64_t>(attributes.st_size);
    return &kept_.emplace(pages_id, std::move(kept)).first->second;
  }

  Status Work() {
    std::string buffer(kBufferBytes, '\0');
    while (!failed_) {
      const size_t index = next_++;
      if (index >= pieces_.size()) break;
      Status filled = Fill(pieces_[index], buffer);
      if (filled.ok()) continue;
      failed_ = true;
      return filled;
    }
    return Status();
  }

  Status Fill(const Piece& piece, std::string& buffer) const {
    if (deadline_.expired()) {
      return Status(Code::kDeadlineExceeded, "the time for filling memory ran out");
    }
    for (uint64_t done = 0; done < piece.bytes;) {
      const ssize_t got = ::pread(piece.file, buffer.data(), piece.bytes - done,
                                  static_cast<off_t>(piece.offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, "pread", "staged pages");
      if (got == 0) return Status(Code::kDataLoss, "staged pages became fewer");
      CRYOPOD_RETURN_IF_ERROR(
          Write(*piece.target, piece.address + done, buffer.data(), static_cast<size_t>(got)));
      done += static_cast<uint64_t>(got);
    }
    return Status();
  }

  // Its PID is looked at before and after: it may belong to somebody else once the process has
  // ended. In between, only the node's running out of PIDs within microseconds could give it away.
  static Status Write(const Target& target, uint64_t address, char* bytes, size_t size) {
    CRYOPOD_RETURN_IF_ERROR(CheckAlive(target));
    const iovec from{bytes, size};
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    const iovec to{reinterpret_cast<void*>(address), size};
    const ssize_t put = ::process_vm_writev(target.pid, &from, 1, &to, 1, 0);
    const int error = put < 0 ? errno : 0;
    CRYOPOD_RETURN_IF_ERROR(CheckAlive(target));
    if (put == static_cast<ssize_t>(size)) return Status();
    if (error != 0 && error != EFAULT) {
      return ErrnoStatus(error, "process_vm_writev", Name(target.pid));
    }
    return Status(Code::kDataLoss,
                  Name(target.pid) + " has no memory of its own where the archive has some of it",
                  Reason::kArchiveDamaged);
  }

  static Status CheckAlive(const Target& target) {
    if (!PidfdEnded(target.pidfd.get(), Deadline::After(std::chrono::seconds(0)))) return Status();
    return Status(Code::kFailedPrecondition,
                  Name(target.pid) +
                      " ended while its memory was filled: the container's limit may be too small",
                  Reason::kProcessesEnded);
  }

  const std::map<pid_t, Target>& targets_;
  const Deadline deadline_;
  std::map<uint32_t, KeptPages> kept_;
  std::vector<Piece> pieces_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
};

}  // namespace

Result<uint64_t> FillMemory(const jobs::ContainerReport& container, const std::string& images_dir,
                            Deadline deadline) {
  const std::string path = images_dir + "/" + criu::kFillListFile;
  if (!PathExists(path)) return uint64_t{0};
  CRYOPOD_ASSIGN_OR_RETURN(const std::string list, ReadFile(path, criu::kFillListBytesMax));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<criu::Fill> fills, criu::ParseFills(list));
  std::set<pid_t> wanted;
  for (const criu::Fill& fill : fills) wanted.insert(fill.pid);
  CRYOPOD_ASSIGN_OR_RETURN(const auto targets, FindTargets(container, wanted));
  Filling filling(targets, deadline);
  CRYOPOD_RETURN_IF_ERROR(filling.Prepare(fills, images_dir));
  CRYOPOD_RETURN_IF_ERROR(filling.Run());
  return std::accumulate(fills.begin(), fills.end(), uint64_t{0},
                         [](uint64_t sum, const criu::Fill& fill) { return sum + fill.bytes; });
}

}  // namespace cryopod::restore
