#include "agent/criu/images/criu_images.h"

#include <sys/stat.h>

#include <map>
#include <set>
#include <utility>

#include "agent/criu/images/entry_reader.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/file.h"
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

constexpr size_t kPstreeBytesMax = size_t{64} << 20;
constexpr size_t kFileLocksBytesMax = size_t{4} << 20;
constexpr size_t kFilesBytesMax = size_t{64} << 20;
constexpr size_t kStatsBytesMax = size_t{64} << 10;

// CRIU fills in no thread of a zombie: its one entry holds anything but the PID of the process,
// which the first thread of every living one has.
Status ReadThreads(const wire::pstree_entry& entry, DumpedProcess& process) {
  if (entry.threads_size() == 1 && entry.threads(0) != entry.pid()) return Status();
  for (const uint32_t thread : entry.threads()) {
    if (thread == 0 || thread > uint32_t{kPidMax})
      return BrokenImage("pstree.img", "a thread has no PID");
    process.threads.push_back(static_cast<pid_t>(thread));
  }
  return Status();
}

// IDs of the files that are found in another way than by their path.
Result<std::set<uint32_t>> ReadRemapped(int images_dir_fd) {
  constexpr std::string_view kName = "remap-fpath.img";
  std::set<uint32_t> remapped;
  const Result<std::string> image = ReadFileAt(images_dir_fd, std::string(kName), kFilesBytesMax);
  if (image.status().code() == Code::kNotFound) return remapped;
  if (!image.ok()) return image.status();
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(*image, kName, kCommonImageMagic, kRemapMagic));
  while (!reader.AtEnd()) {
    wire::remap_file_path_entry entry;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
    remapped.insert(entry.orig_id());
  }
  return remapped;
}

}  // namespace

Result<std::vector<DumpedProcess>> ParsePstree(std::string_view image) {
  constexpr std::string_view kName = "pstree.img";
  if (image.size() > kPstreeBytesMax) return BrokenImage(kName, "larger than 64 MiB");
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(image, kName, kCommonImageMagic, kPstreeMagic));
  std::vector<DumpedProcess> processes;
  while (!reader.AtEnd()) {
    wire::pstree_entry entry;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
    if (entry.pid() == 0 || entry.pid() > uint32_t{kPidMax} || entry.ppid() > uint32_t{kPidMax}) {
      return BrokenImage(kName, "an entry holds no PID");
    }
    DumpedProcess process;
    process.pid = static_cast<pid_t>(entry.pid());
    process.parent_pid = static_cast<pid_t>(entry.ppid());
    CRYOPOD_RETURN_IF_ERROR(ReadThreads(entry, process));
    processes.push_back(std::move(process));
  }
  if (processes.empty()) return BrokenImage(kName, "holds no process");
  return processes;
}

Result<std::vector<DumpedProcess>> ReadPstree(int images_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string image,
                           ReadFileAt(images_dir_fd, "pstree.img", kPstreeBytesMax));
  return ParsePstree(image);
}

Result<std::vector<RecordLock>> ParseRecordLocks(std::string_view image) {
  constexpr std::string_view kName = "filelocks.img";
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(image, kName, kCommonImageMagic, kFileLocksMagic));
  std::vector<RecordLock> locks;
  while (!reader.AtEnd()) {
    wire::file_lock_entry entry;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
    if (entry.flag() != kPosixLock) continue;
    if (entry.pid() <= 0 || entry.fd() < 0 || entry.start() < 0 || entry.len() < 0) {
      return BrokenImage(kName, "an entry holds no lock");
    }
    locks.push_back({entry.pid(), entry.fd(), entry.type() == kWriteLock,
                     static_cast<uint64_t>(entry.start()), static_cast<uint64_t>(entry.len())});
  }
  return locks;
}

Result<std::vector<RecordLock>> ReadRecordLocks(int images_dir_fd) {
  const Result<std::string> image = ReadFileAt(images_dir_fd, "filelocks.img", kFileLocksBytesMax);
  if (image.status().code() == Code::kNotFound) return std::vector<RecordLock>();
  if (!image.ok()) return image.status();
  return ParseRecordLocks(*image);
}

Result<std::vector<FileByPath>> ReadFilesByPath(int images_dir_fd) {
  constexpr std::string_view kName = "files.img";
  CRYOPOD_ASSIGN_OR_RETURN(const std::set<uint32_t> remapped, ReadRemapped(images_dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string image,
                           ReadFileAt(images_dir_fd, std::string(kName), kFilesBytesMax));
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(image, kName, kCommonImageMagic, kFilesMagic));
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
  for (auto& [path, file] : files) list.push_back(std::move(file));
  return list;
}

Result<DumpStats> ParseDumpStats(std::string_view image) {
  constexpr std::string_view kName = "stats-dump";
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(image, kName, kServiceImageMagic, kStatsMagic));
  wire::stats_entry entry;
  CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
  if (!entry.has_dump()) return BrokenImage(kName, "holds no statistics of a dump");
  const wire::dump_stats_entry& dump = entry.dump();
  DumpStats stats;
  stats.freezing_us = dump.freezing_time();
  stats.frozen_us = dump.frozen_time();
  stats.memdump_us = dump.memdump_time();
  stats.memwrite_us = dump.memwrite_time();
  stats.pages_scanned = dump.pages_scanned();
  stats.pages_written = dump.pages_written();
  return stats;
}

Result<DumpStats> ReadDumpStats(int work_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string image,
                           ReadFileAt(work_dir_fd, "stats-dump", kStatsBytesMax));
  return ParseDumpStats(image);
}

}  // namespace cryopod::criu
