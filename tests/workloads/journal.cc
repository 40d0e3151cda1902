// Files that are written, renamed and synced without a pause, in step with memory.
//
//   journal [DIRECTORY]      /data unless told otherwise
//
// Each step n appends a record to DIRECTORY/journal/log and syncs it, overwrites one in place in
// `table`, stores n in `mapped` through a shared mapping, and puts a new `state` in the place of
// the old: written beside it, synced, renamed. Before each step all of them must be what memory
// says, to the byte; so memory and files that come from two instants are found by the first step
// after the cut, before it writes anything. A log that is full becomes `log.old`. verify reads
// every record.
#include <vector>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::uint64_t kRecordsMax = 16 * 1024;
constexpr std::uint64_t kTableRecords = 64;
constexpr auto kPause = std::chrono::milliseconds(10);
constexpr auto kProgressTimeout = std::chrono::seconds(10);

struct Record {
  std::uint64_t step = 0;
  std::uint64_t chain = 0;  // follows from those of all earlier steps
  std::uint64_t rest[6] = {};

  bool operator==(const Record&) const = default;
};

class Journal final : public Workload {
 public:
  explicit Journal(const std::string& data) : directory_(data + "/journal"), table_(kTableRecords) {
    if (::mkdir(directory_.c_str(), 0777) != 0 && errno != EEXIST) Die(directory_);
    // What an earlier container left in a volume.
    for (const char* name : {"log", "log.old", "table", "mapped", "state", "state.new"}) {
      ::unlink(Path(name).c_str());
    }
    directory_fd_ = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd_ < 0) Die(directory_);
    OpenLog();
    table_fd_ = Open("table", O_RDWR | O_CREAT);
    Write(table_fd_, table_.data(), table_.size(), 0);
    const int mapped = Open("mapped", O_RDWR | O_CREAT);
    if (::ftruncate(mapped, sizeof(Record)) != 0) Die("mapped");
    void* memory = ::mmap(nullptr, sizeof(Record), PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
    if (memory == MAP_FAILED) Die("mmap");
    ::close(mapped);
    mapped_ = static_cast<Record*>(memory);
    ReplaceState(last_);
  }

  void Start() {
    std::thread([this] {
      for (;;) {
        Step();
        std::this_thread::sleep_for(kPause);
      }
    }).detach();
  }

  JsonLine Report() override {
    const std::lock_guard lock(mutex_);
    return JsonLine().Number("steps", last_.step).Number("violations", violations_.count());
  }

  std::string Verify() override {
    const std::uint64_t before = Steps();
    if (!Soon(kProgressTimeout, [&] { return violations_.count() != 0 || Steps() != before; })) {
      return "writes nothing any more";
    }
    const std::lock_guard lock(mutex_);
    LookAtFiles();
    LookAtRecords();
    return violations_.Reason();
  }

  // As if the file system had been taken at an earlier instant than memory.
  void Corrupt() override {
    const std::lock_guard lock(mutex_);
    const auto size = static_cast<off_t>((log_records_ - 1) * sizeof(Record));
    if (::ftruncate(log_fd_, size) != 0) Die("ftruncate");
  }

 private:
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  int Open(const std::string& name, int flags) const {
    const int fd = ::open(Path(name).c_str(), flags | O_CLOEXEC, 0644);
    if (fd < 0) Die(Path(name));
    return fd;
  }

  static void Write(int fd, const Record* records, std::size_t count, off_t at) {
    const auto size = static_cast<ssize_t>(count * sizeof(Record));
    if (::pwrite(fd, records, count * sizeof(Record), at) != size) Die("pwrite");
  }

  // Whether these records are all that the file holds, from `at` on.
  static bool Holds(int fd, const Record* records, std::size_t count, off_t at) {
    std::vector<Record> found(count + 1);
    const ssize_t size = ::pread(fd, found.data(), found.size() * sizeof(Record), at);
    return size == static_cast<ssize_t>(count * sizeof(Record)) &&
           std::equal(records, records + count, found.begin());
  }

  std::uint64_t Steps() {
    const std::lock_guard lock(mutex_);
    return last_.step;
  }

  static Record Next(const Record& last) {
    Record next = {.step = last.step + 1, .chain = Mix(last.chain), .rest = {}};
    for (std::size_t i = 0; i < 6; ++i) next.rest[i] = Mix(next.chain + i);
    return next;
  }

  void OpenLog() {
    log_fd_ = Open("log", O_RDWR | O_CREAT | O_EXCL | O_APPEND);
    log_before_ = last_;
    log_records_ = 0;
  }

  void ReplaceState(const Record& record) {
    const int fd = Open("state.new", O_WRONLY | O_CREAT | O_EXCL);
    Write(fd, &record, 1, 0);
    if (::fsync(fd) != 0) Die("fsync");
    ::close(fd);
    // Once more: syncing takes most of a step, and what was wrong is gone with the rename.
    if (last_.step != 0 && !HoldsByName("state")) Differs("state", "differs");
    if (::rename(Path("state.new").c_str(), Path("state").c_str()) != 0) Die("rename");
    if (::fsync(directory_fd_) != 0) Die("fsync");
  }

  void Step() {
    const std::lock_guard lock(mutex_);
    LookAtFiles();
    // A file that is wrong stays wrong: going on would only count it again.
    if (violations_.count() != 0) return;
    const Record next = Next(last_);
    if (!WriteAll(log_fd_, {reinterpret_cast<const char*>(&next), sizeof(next)})) Die("log");
    if (::fdatasync(log_fd_) != 0) Die("fdatasync");
    ++log_records_;
    table_[next.step % kTableRecords] = next;
    Write(table_fd_, &next, 1, static_cast<off_t>(next.step % kTableRecords * sizeof(Record)));
    if (*mapped_ != last_) Differs("mapped", "differs through its mapping");
    *mapped_ = next;
    ReplaceState(next);
    last_ = next;
    if (log_records_ < kRecordsMax) return;
    if (::rename(Path("log").c_str(), Path("log.old").c_str()) != 0) Die("rename");
    ::close(log_fd_);
    OpenLog();
  }

  void LookAtFiles() {
    const auto log_size = static_cast<off_t>(log_records_ * sizeof(Record));
    if (!IsNamed(log_fd_, "log")) return Differs("log", "is not the file that is open");
    if (!IsNamed(table_fd_, "table")) return Differs("table", "is not the file that is open");
    const off_t found_size = ::lseek(log_fd_, 0, SEEK_END);
    if (found_size != log_size) {
      return Differs("log", "holds " + std::to_string(found_size) + " bytes and not " +
                                std::to_string(log_size));
    }
    if (log_records_ != 0 && !Holds(log_fd_, &last_, 1, log_size - off_t{sizeof(Record)})) {
      return Differs("log", "ends with another record");
    }
    if (!Holds(table_fd_, table_.data(), table_.size(), 0)) return Differs("table", "differs");
    if (*mapped_ != last_) return Differs("mapped", "differs through its mapping");
    if (!HoldsByName("mapped")) return Differs("mapped", "differs");
    if (!HoldsByName("state")) return Differs("state", "differs");
    if (::access(Path("state.new").c_str(), F_OK) == 0) Differs("state.new", "is there");
  }

  bool IsNamed(int fd, const char* name) const {
    struct stat open {};
    struct stat named {};
    return ::fstat(fd, &open) == 0 && ::stat(Path(name).c_str(), &named) == 0 &&
           open.st_dev == named.st_dev && open.st_ino == named.st_ino;
  }

  bool HoldsByName(const char* name) const {
    const int fd = ::open(Path(name).c_str(), O_RDONLY | O_CLOEXEC);
    const bool holds = fd >= 0 && Holds(fd, &last_, 1, 0);
    if (fd >= 0) ::close(fd);
    return holds;
  }

  void LookAtRecords() {
    std::vector<Record> records(log_records_);
    Record expected = log_before_;
    for (Record& record : records) record = expected = Next(expected);
    if (!Holds(log_fd_, records.data(), records.size(), 0)) Differs("log", "has another content");
  }

  void Differs(const std::string& name, const std::string& how) {
    violations_.Add(name + " " + how + " at step " + std::to_string(last_.step));
  }

  const std::string directory_;
  Violations violations_;
  std::mutex mutex_;  // of all that follows
  int directory_fd_ = -1;
  int log_fd_ = -1;
  int table_fd_ = -1;
  Record* mapped_ = nullptr;
  Record last_;
  Record log_before_;  // the last one before those of the log
  std::uint64_t log_records_ = 0;
  std::vector<Record> table_;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("journal", argc, argv);
  static Journal journal(argc > 1 ? argv[1] : "/data");
  journal.Start();
  Serve("journal", journal);
}
