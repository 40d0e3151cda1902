#include "agent/criu/images/criu_images.h"

#include <sys/stat.h>

#include <map>
#include <set>
#include <utility>

#include "agent/criu/images/image_file.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/proc.h"

namespace cryopod::criu {
namespace {

// Source: CRIU 4.2, criu/include/magic.h.
constexpr uint32_t kPstreeMagic = 0x50273030;
constexpr uint32_t kStatsMagic = 0x57093306;
constexpr uint32_t kFileLocksMagic = 0x54323616;
// Source: CRIU 4.2, criu/include/file-lock.h.
constexpr uint32_t kPosixLock = 1;
constexpr uint32_t kWriteLock = 1;

constexpr char kPstreeImage[] = "pstree.img";
constexpr char kFileLocksImage[] = "filelocks.img";
constexpr char kStatsImage[] = "stats-dump";
constexpr size_t kFileLocksBytesMax = size_t{4} << 20;
constexpr size_t kStatsBytesMax = size_t{64} << 10;

// CRIU fills in no thread of a zombie: its one entry holds anything but the PID of the process,
// which the first thread of every living one has.
Status ReadThreads(const wire::pstree_entry& entry, DumpedProcess& process) {
  if (entry.threads_size() == 1 && entry.threads(0) != entry.pid()) return Status();
  for (const uint32_t thread : entry.threads()) {
    if (thread == 0 || thread > uint32_t{kPidMax}) {
      return BrokenImage(kPstreeImage, "a thread has no PID");
    }
    process.threads.push_back(static_cast<pid_t>(thread));
  }
  return Status();
}

// IDs of the files that are found in another way than by their path.
Result<std::set<uint32_t>> ReadRemapped(int images_dir_fd) {
  std::set<uint32_t> remapped;
  Result<EntryReader> reader = EntryReader::Open(images_dir_fd, kRemapImage, kRemapMagic);
  if (reader.status().code() == Code::kNotFound) return remapped;
  if (!reader.ok()) return reader.status();
  while (!reader->AtEnd()) {
    wire::remap_file_path_entry entry;
    CRYOPOD_RETURN_IF_ERROR(reader->Next(&entry));
    remapped.insert(entry.orig_id());
  }
  return remapped;
}

}  // namespace

Result<std::vector<DumpedProcess>> ReadPstree(int images_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(images_dir_fd, kPstreeImage, kPstreeMagic));
  std::vector<DumpedProcess> processes;
  while (!reader.AtEnd()) {
    wire::pstree_entry entry;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
    if (entry.pid() == 0 || entry.pid() > uint32_t{kPidMax} || entry.ppid() > uint32_t{kPidMax}) {
      return BrokenImage(kPstreeImage, "an entry holds no PID");
    }
    DumpedProcess process;
    process.pid = static_cast<pid_t>(entry.pid());
    process.parent_pid = static_cast<pid_t>(entry.ppid());
    CRYOPOD_RETURN_IF_ERROR(ReadThreads(entry, process));
    processes.push_back(std::move(process));
  }
  if (processes.empty()) return BrokenImage(kPstreeImage, "holds no process");
  return processes;
}

Result<std::vector<RecordLock>> ReadRecordLocks(int images_dir_fd) {
  std::vector<RecordLock> locks;
  Result<EntryReader> reader =
      EntryReader::Open(images_dir_fd, kFileLocksImage, kFileLocksMagic, kFileLocksBytesMax);
  if (reader.status().code() == Code::kNotFound) return locks;
  if (!reader.ok()) return reader.status();
  while (!reader->AtEnd()) {
    wire::file_lock_entry entry;
    CRYOPOD_RETURN_IF_ERROR(reader->Next(&entry));
    if (entry.flag() != kPosixLock) continue;
    if (entry.pid() <= 0 || entry.fd() < 0 || entry.start() < 0 || entry.len() < 0) {
      return BrokenImage(kFileLocksImage, "an entry holds no lock");
    }
    locks.push_back({static_cast<uint32_t>(entry.pid()), static_cast<uint32_t>(entry.fd()),
                     entry.type() == kWriteLock, static_cast<uint64_t>(entry.start()),
                     static_cast<uint64_t>(entry.len())});
  }
  return locks;
}

Result<std::vector<FileByPath>> ReadFilesByPath(int images_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::set<uint32_t> remapped, ReadRemapped(images_dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(images_dir_fd, kFilesImage, kFilesMagic));
  std::map<std::string, FileByPath> files;  // one of several descriptions of a file is enough
  while (!reader.AtEnd()) {
    wire::file_entry entry;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
    if (!entry.has_reg() || remapped.contains(entry.id())) continue;
    const wire::reg_file_entry& file = entry.reg();
    const bool regular = S_ISREG(file.mode());
    files[file.name()] = {file.name(), regular, regular ? file.size() : 0};
  }
  std::vector<FileByPath> list;
  list.reserve(files.size());
  for (auto& [path, file] : files) list.push_back(std::move(file));
  return list;
}

Result<DumpStats> ReadDumpStats(int work_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(
      EntryReader reader,
      EntryReader::Open(work_dir_fd, kStatsImage, kStatsMagic, kStatsBytesMax, kServiceImageMagic));
  wire::stats_entry entry;
  CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
  if (!entry.has_dump()) return BrokenImage(kStatsImage, "holds no statistics of a dump");
  const wire::dump_stats_entry& dump = entry.dump();
  return DumpStats{dump.freezing_time(), dump.frozen_time(), dump.memdump_time(),
                   dump.memwrite_time()};
}

}  // namespace cryopod::criu
