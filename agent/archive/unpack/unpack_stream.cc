#include "agent/archive/unpack/unpack_stream.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace cryopod::archive {
namespace {

constexpr char kEntryRecord = 'E';
constexpr size_t kBufferBytes = size_t{256} << 10;

template <typename Number>
void PutNumber(std::string* out, Number number) {
  for (size_t i = 0; i < sizeof(Number); ++i) {
    *out += static_cast<char>(static_cast<uint64_t>(number) >> (8 * i) & 0xff);
  }
}

void PutString(std::string* out, std::string_view text) {
  PutNumber(out, static_cast<uint32_t>(text.size()));
  out->append(text);
}

uint64_t GetLittleEndian(const char* bytes, size_t size) {
  uint64_t number = 0;
  for (size_t i = 0; i < size; ++i) {
    number |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return number;
}

// Takes fields from the front of the header; once too little is left it gives zeros and says so.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : bytes_(bytes) {}

  template <typename Number>
  Number TakeNumber() {
    const std::string_view bytes = TakeBytes(sizeof(Number));
    return static_cast<Number>(GetLittleEndian(bytes.data(), bytes.size()));
  }
  std::string TakeString() { return std::string(TakeBytes(TakeNumber<uint32_t>())); }
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && bytes_.empty(); }

 private:
  std::string_view TakeBytes(size_t size) {
    if (!ok_ || size > bytes_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace

std::string EncodeEntry(const LayerEntry& entry) {
  std::string header;
  PutNumber(&header, static_cast<uint8_t>(entry.kind));
  PutString(&header, entry.path);
  PutString(&header, entry.link_target);
  PutNumber(&header, entry.uid);
  PutNumber(&header, entry.gid);
  PutNumber(&header, entry.mode);
  PutNumber(&header, entry.mtime_ns);
  PutNumber(&header, entry.device_major);
  PutNumber(&header, entry.device_minor);
  PutNumber(&header, entry.size_bytes);
  PutNumber(&header, static_cast<uint32_t>(entry.xattrs.size()));
  for (const auto& [name, value] : entry.xattrs) {
    PutString(&header, name);
    PutString(&header, value);
  }
  std::string record(1, kEntryRecord);
  PutNumber(&record, static_cast<uint32_t>(header.size()));
  return record + header;
}

Result<LayerEntry> DecodeEntryHeader(std::string_view bytes) {
  Fields fields(bytes);
  LayerEntry entry;
  const auto kind = fields.TakeNumber<uint8_t>();
  if (kind > static_cast<uint8_t>(LayerEntry::Kind::kOpaque)) {
    return Status(Code::kDataLoss, "an entry of no kind");
  }
  entry.kind = static_cast<LayerEntry::Kind>(kind);
  entry.path = fields.TakeString();
  entry.link_target = fields.TakeString();
  entry.uid = fields.TakeNumber<uint32_t>();
  entry.gid = fields.TakeNumber<uint32_t>();
  entry.mode = fields.TakeNumber<uint32_t>();
  entry.mtime_ns = fields.TakeNumber<int64_t>();
  entry.device_major = fields.TakeNumber<uint32_t>();
  entry.device_minor = fields.TakeNumber<uint32_t>();
  entry.size_bytes = fields.TakeNumber<uint64_t>();
  const auto xattrs = fields.TakeNumber<uint32_t>();
  for (uint32_t i = 0; i < xattrs && fields.ok(); ++i) {
    std::string name = fields.TakeString();
    std::string value = fields.TakeString();
    entry.xattrs.emplace_back(std::move(name), std::move(value));
  }
  if (!fields.at_end()) return Status(Code::kDataLoss, "an entry whose fields do not fit");
  return entry;
}

EntryReader::EntryReader(int fd, Deadline deadline)
    : fd_(fd), deadline_(deadline), buffer_(kBufferBytes) {}

Result<bool> EntryReader::Fill() {
  while (begin_ == end_) {
    // Checked here and not only when the pipe is empty: a writer that never pauses must end too.
    if (deadline_.expired()) {
      return Status(Code::kDeadlineExceeded, "the time for unpacking ran out");
    }
    const ssize_t got = ::read(fd_, buffer_.data(), buffer_.size());
    if (got == 0) return false;
    if (got > 0) {
      begin_ = 0;
      end_ = static_cast<size_t>(got);
    } else if (errno == EAGAIN) {
      pollfd waiting{fd_, POLLIN, 0};
      ::poll(&waiting, 1, deadline_.poll_timeout_ms());
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "read", "the pipe of cryopod-unpack");
    }
  }
  return true;
}

Result<size_t> EntryReader::ReadSome(char* buffer, size_t size) {
  CRYOPOD_ASSIGN_OR_RETURN(const bool more, Fill());
  if (!more) return Status(Code::kUnavailable, "cryopod-unpack ended early");
  const size_t taken = std::min(size, end_ - begin_);
  std::memcpy(buffer, buffer_.data() + begin_, taken);
  begin_ += taken;
  return taken;
}

Status EntryReader::ReadExactly(char* buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    CRYOPOD_ASSIGN_OR_RETURN(const size_t got, ReadSome(buffer + done, size - done));
    done += got;
  }
  return Status();
}

Result<bool> EntryReader::Next(LayerEntry* entry) {
  char head[kEndRecord.size()];
  CRYOPOD_RETURN_IF_ERROR(ReadExactly(head, sizeof(head)));
  if (std::string_view(head, sizeof(head)) == kEndRecord) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, Fill());
    if (more) return Status(Code::kDataLoss, "cryopod-unpack went on after its end record");
    return false;
  }
  const auto size = static_cast<uint32_t>(GetLittleEndian(head + 1, sizeof(head) - 1));
  if (head[0] != kEntryRecord || size > kEntryHeaderBytesMax) {
    return Status(Code::kDataLoss, "cryopod-unpack sent what is no record");
  }
  std::string header(size, '\0');
  CRYOPOD_RETURN_IF_ERROR(ReadExactly(header.data(), header.size()));
  CRYOPOD_ASSIGN_OR_RETURN(*entry, DecodeEntryHeader(header));
  if (entry->kind == LayerEntry::Kind::kFile) left_bytes_ = entry->size_bytes;
  return true;
}

Result<size_t> EntryReader::Read(char* buffer, size_t size) {
  const size_t want = static_cast<size_t>(std::min<uint64_t>(size, left_bytes_));
  if (want == 0) return size_t{0};
  CRYOPOD_ASSIGN_OR_RETURN(const size_t got, ReadSome(buffer, want));
  left_bytes_ -= got;
  return got;
}

}  // namespace cryopod::archive
