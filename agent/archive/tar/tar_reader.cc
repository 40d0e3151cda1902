#include "agent/archive/tar/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/archive/tar/zstd_stream.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;

constexpr uint64_t kEndMarkerBytes = 1024;
// Room for the headers of an entry, pax records and padding included.
constexpr uint64_t kEntryOverheadBytes = 16'384;
constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;

uint64_t StreamBytesMax(const UnpackLimits& limits) {
  const uint64_t entries = std::min<uint64_t>(limits.entries_max, uint64_t{1} << 40);
  const uint64_t overhead = entries * kEntryOverheadBytes + (uint64_t{1} << 20);
  return limits.bytes_max > UINT64_MAX - overhead ? UINT64_MAX : limits.bytes_max + overhead;
}

// The bytes of a tar, decompressed when need be and counted.
class TarSource {
 public:
  // Without `zstd` the bytes are the tar itself.
  TarSource(int fd, std::optional<ZstdDecompressor> zstd, uint64_t stream_bytes_max)
      : fd_(fd), stream_bytes_max_(stream_bytes_max), zstd_(std::move(zstd)) {
    if (zstd_) output_.resize(kBufferBytes);
  }

  // The next piece, empty at the end. Valid until the next call.
  // Errors: kDataLoss (damaged or cut off), kResourceExhausted (above the limit).
  Result<std::string_view> Next() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string_view piece, zstd_ ? NextDecompressed() : NextRead());
    const size_t last = piece.find_last_not_of('\0');
    if (last != std::string_view::npos) nonzero_end_ = size_bytes_ + last + 1;
    size_bytes_ += piece.size();
    if (size_bytes_ <= stream_bytes_max_) return piece;
    return Status(Code::kResourceExhausted,
                  "the tar is larger than " + std::to_string(stream_bytes_max_) + " bytes");
  }

  // Bytes of the stream so far. Behind the last one that is not zero is the end of the tar.
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t nonzero_end() const { return nonzero_end_; }

 private:
  Result<std::string_view> NextRead() {
    while (true) {
      const ssize_t got = ::read(fd_, input_.data(), input_.size());
      if (got >= 0) return std::string_view(input_.data(), static_cast<size_t>(got));
      if (errno != EINTR) return ErrnoStatus(errno, "read", "the blob");
    }
  }

  Result<std::string_view> NextDecompressed() {
    while (true) {
      CRYOPOD_ASSIGN_OR_RETURN(const size_t size,
                               zstd_->Read(&input_left_, output_.data(), output_.size()));
      if (size > 0) return std::string_view(output_.data(), size);
      if (!input_left_.empty()) continue;
      CRYOPOD_ASSIGN_OR_RETURN(input_left_, NextRead());
      if (!input_left_.empty()) continue;
      if (!zstd_->at_frame_end()) return Status(Code::kDataLoss, "the zstd stream is cut off");
      return std::string_view();
    }
  }

  int fd_;
  uint64_t stream_bytes_max_;
  std::optional<ZstdDecompressor> zstd_;
  std::vector<char> input_ = std::vector<char>(kBufferBytes);
  std::vector<char> output_;
  std::string_view input_left_;
  uint64_t size_bytes_ = 0;
  uint64_t nonzero_end_ = 0;
};

Status ReadNumbers(::archive_entry* from, LayerEntry* to) {
  const la_int64_t uid = ::archive_entry_uid(from);
  const la_int64_t gid = ::archive_entry_gid(from);
  const la_int64_t size = ::archive_entry_size(from);
  const la_int64_t seconds = ::archive_entry_mtime(from);
  const bool fits = uid >= 0 && uid < UINT32_MAX && gid >= 0 && gid < UINT32_MAX && size >= 0 &&
                    seconds >= -kSecondsMax && seconds <= kSecondsMax;
  if (!fits) {
    return Status(Code::kDataLoss,
                  "entry \"" + JsonEscape(to->path) + "\" has a number that is out of range");
  }
  to->uid = static_cast<uint32_t>(uid);
  to->gid = static_cast<uint32_t>(gid);
  to->size_bytes = static_cast<uint64_t>(size);
  to->mtime_ns = seconds * 1'000'000'000 + ::archive_entry_mtime_nsec(from);
  to->mode = ::archive_entry_perm(from) & 07777;
  if (to->kind == Kind::kCharDevice || to->kind == Kind::kBlockDevice) {
    to->device_major = static_cast<uint32_t>(::archive_entry_rdevmajor(from));
    to->device_minor = static_cast<uint32_t>(::archive_entry_rdevminor(from));
  }
  return Status();
}

void ReadXattrs(::archive_entry* from, LayerEntry* to) {
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  ::archive_entry_xattr_reset(from);
  while (::archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK) {
    to->xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
}

Result<LayerEntry> FromTarEntry(::archive_entry* from) {
  const char* path = ::archive_entry_pathname(from);
  if (path == nullptr) return Status(Code::kDataLoss, "an entry without a readable name");
  LayerEntry to;
  to.path = path;
  const std::optional<Kind> kind = ::archive_entry_hardlink(from) != nullptr
                                       ? Kind::kHardlink
                                       : KindOf(::archive_entry_filetype(from));
  if (!kind) {
    return Status(Code::kDataLoss, "entry \"" + JsonEscape(to.path) + "\" is of no known type");
  }
  to.kind = *kind;
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(from, &to));
  if (::archive_entry_sparse_count(from) > 0) {
    return Status(Code::kDataLoss, "entry \"" + JsonEscape(to.path) + "\" is sparse");
  }
  const char* target = to.kind == Kind::kSymlink    ? ::archive_entry_symlink(from)
                       : to.kind == Kind::kHardlink ? ::archive_entry_hardlink(from)
                                                    : "";
  if (target == nullptr) {
    return Status(Code::kDataLoss, "entry \"" + JsonEscape(to.path) + "\" is a link to nothing");
  }
  to.link_target = target;
  ReadXattrs(from, &to);
  return to;
}

}  // namespace

struct TarReader::State {
  explicit State(TarSource opened) : source(std::move(opened)), tar(::archive_read_new()) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { ::archive_read_free(tar); }

  static la_ssize_t Pull(::archive* tar, void* client, const void** bytes) {
    auto* state = static_cast<State*>(client);
    Result<std::string_view> piece = state->source.Next();
    if (!piece.ok()) {
      state->source_status = piece.status();
      ::archive_set_error(tar, EIO, "source");
      return -1;
    }
    *bytes = piece->data();
    return static_cast<la_ssize_t>(piece->size());
  }

  Status Failure() const {
    if (!source_status.ok()) return source_status;
    const char* text = ::archive_error_string(tar);
    return Status(Code::kDataLoss,
                  std::string("not a sound tar: ") + (text == nullptr ? "?" : JsonEscape(text)));
  }

  // Behind the last entry come the end marker and zeros: bytes that one reader skips and another
  // takes for entries would be two archives in one.
  Status CheckEnd() {
    const auto consumed = static_cast<uint64_t>(::archive_filter_bytes(tar, 0));
    while (true) {
      CRYOPOD_ASSIGN_OR_RETURN(const std::string_view piece, source.Next());
      if (piece.empty()) break;
    }
    if (source.nonzero_end() > consumed) {
      return Status(Code::kDataLoss, "bytes follow the end of the tar");
    }
    if (source.size_bytes() - source.nonzero_end() < kEndMarkerBytes) {
      return Status(Code::kDataLoss, "the tar has no end marker");
    }
    return Status();
  }

  TarSource source;
  Status source_status;
  ::archive* tar;
  uint64_t content_size = 0;  // of the current file
  uint64_t content_done = 0;
};

TarReader::TarReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TarReader::TarReader(TarReader&&) noexcept = default;
TarReader::~TarReader() = default;

Result<TarReader> TarReader::Open(int fd, Compression compression, const UnpackLimits& limits) {
  std::optional<ZstdDecompressor> zstd;
  if (compression == Compression::kZstd) {
    CRYOPOD_ASSIGN_OR_RETURN(zstd, ZstdDecompressor::Create());
  }
  TarReader reader(std::make_unique<State>(TarSource(fd, std::move(zstd), StreamBytesMax(limits))));
  ::archive* tar = reader.state_->tar;
  // No other format and no filter: the compression is ours to undo.
  ::archive_read_support_format_tar(tar);
  if (::archive_read_open(tar, reader.state_.get(), nullptr, &State::Pull, nullptr) != ARCHIVE_OK) {
    return reader.state_->Failure();
  }
  return reader;
}

Result<bool> TarReader::Next(LayerEntry* entry) {
  if (state_->content_done != state_->content_size) {
    return Status(Code::kInternal, "the last file was not read to its end");
  }
  ::archive_entry* header = nullptr;
  const int result = ::archive_read_next_header(state_->tar, &header);
  if (result == ARCHIVE_EOF) {
    CRYOPOD_RETURN_IF_ERROR(state_->CheckEnd());
    return false;
  }
  if (result != ARCHIVE_OK) return state_->Failure();
  CRYOPOD_ASSIGN_OR_RETURN(*entry, FromTarEntry(header));
  state_->content_size = entry->kind == Kind::kFile ? entry->size_bytes : 0;
  state_->content_done = 0;
  return true;
}

Status TarReader::Content(const ByteSink& sink) {
  const void* bytes = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  while (state_->content_done < state_->content_size) {
    const int result = ::archive_read_data_block(state_->tar, &bytes, &size, &offset);
    if (result == ARCHIVE_EOF) return Status(Code::kDataLoss, "a file is shorter than it says");
    if (result != ARCHIVE_OK) return state_->Failure();
    if (static_cast<uint64_t>(offset) != state_->content_done ||
        size > state_->content_size - state_->content_done) {
      return Status(Code::kDataLoss, "a file has holes or more bytes than it says");
    }
    state_->content_done += size;
    if (size > 0) CRYOPOD_RETURN_IF_ERROR(sink({static_cast<const char*>(bytes), size}));
  }
  return Status();
}

}  // namespace cryopod::archive
