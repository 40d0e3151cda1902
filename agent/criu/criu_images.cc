#include "agent/criu/criu_images.h"

#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "agent/criu/proto/images.pb.h"
#include "agent/os/file.h"

namespace cryopod::criu {
namespace {

static_assert(std::endian::native == std::endian::little, "CRIU images are in host byte order");

// Source: CRIU 4.2, criu/include/magic.h.
constexpr uint32_t kImageMagic = 0x54564319;    // IMG_COMMON_MAGIC
constexpr uint32_t kServiceMagic = 0x55105940;  // IMG_SERVICE_MAGIC
constexpr uint32_t kPstreeMagic = 0x50273030;
constexpr uint32_t kStatsMagic = 0x57093306;

constexpr size_t kPstreeBytesMax = size_t{64} << 20;
constexpr size_t kStatsBytesMax = size_t{64} << 10;
constexpr uint32_t kPidMax = 1u << 22;  // PID_MAX_LIMIT of 64-bit kernels

Status Broken(std::string_view image, std::string_view what) {
  return Status(Code::kDataLoss, std::string(image) + ": " + std::string(what));
}

// An image while it is being read: two magic numbers, then entries of a length and a message.
class EntryReader {
 public:
  static Result<EntryReader> Open(std::string_view image, std::string_view name, uint32_t family,
                                  uint32_t magic) {
    EntryReader reader(image, name);
    const std::optional<uint32_t> first = reader.TakeNumber();
    const std::optional<uint32_t> second = reader.TakeNumber();
    if (first != family || second != magic) return Broken(name, "not such an image of CRIU");
    return reader;
  }

  bool AtEnd() const { return rest_.empty(); }

  template <typename Message>
  Status Next(Message* message) {
    const std::optional<uint32_t> size = TakeNumber();
    if (!size || *size > rest_.size()) return Broken(name_, "cut off inside an entry");
    const std::string_view bytes = rest_.substr(0, *size);
    rest_.remove_prefix(*size);
    // In two steps: ParseFromArray would print to stderr what is missing.
    if (!message->ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
        !message->IsInitialized()) {
      return Broken(name_, "an entry does not parse");
    }
    return Status();
  }

 private:
  EntryReader(std::string_view image, std::string_view name) : rest_(image), name_(name) {}

  std::optional<uint32_t> TakeNumber() {
    uint32_t number = 0;
    if (rest_.size() < sizeof(number)) return std::nullopt;
    std::memcpy(&number, rest_.data(), sizeof(number));
    rest_.remove_prefix(sizeof(number));
    return number;
  }

  std::string_view rest_;
  std::string_view name_;
};

}  // namespace

Result<std::vector<DumpedProcess>> ParsePstree(std::string_view image) {
  constexpr std::string_view kName = "pstree.img";
  if (image.size() > kPstreeBytesMax) return Broken(kName, "larger than 64 MiB");
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(image, kName, kImageMagic, kPstreeMagic));
  std::vector<DumpedProcess> processes;
  while (!reader.AtEnd()) {
    wire::pstree_entry entry;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
    if (entry.pid() == 0 || entry.pid() > kPidMax || entry.ppid() > kPidMax) {
      return Broken(kName, "an entry holds no PID");
    }
    DumpedProcess process;
    process.pid = static_cast<pid_t>(entry.pid());
    process.parent_pid = static_cast<pid_t>(entry.ppid());
    for (const uint32_t thread : entry.threads()) {
      if (thread == 0 || thread > kPidMax) return Broken(kName, "a thread has no PID");
      process.threads.push_back(static_cast<pid_t>(thread));
    }
    processes.push_back(std::move(process));
  }
  if (processes.empty()) return Broken(kName, "holds no process");
  return processes;
}

Result<std::vector<DumpedProcess>> ReadPstree(int images_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string image,
                           ReadFileAt(images_dir_fd, "pstree.img", kPstreeBytesMax));
  return ParsePstree(image);
}

Result<DumpStats> ParseDumpStats(std::string_view image) {
  constexpr std::string_view kName = "stats-dump";
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(image, kName, kServiceMagic, kStatsMagic));
  wire::stats_entry entry;
  CRYOPOD_RETURN_IF_ERROR(reader.Next(&entry));
  if (!entry.has_dump()) return Broken(kName, "holds no statistics of a dump");
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
