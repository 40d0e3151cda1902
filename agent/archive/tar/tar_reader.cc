#include "agent/archive/tar/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "agent/archive/tar/tar_source.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;

constexpr uint64_t kEndMarkerBytes = 1024;
// Room for the headers of an entry, pax records and padding included.
constexpr uint64_t kEntryOverheadBytes = 16'384;
constexpr int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;

uint64_t StreamBytesMax(const UnpackLimits& limits) {
  const uint64_t entries = std::min<uint64_t>(limits.entries_max, uint64_t{1} << 40);
  const uint64_t overhead = entries * kEntryOverheadBytes + (uint64_t{1} << 20);
  return limits.bytes_max > UINT64_MAX - overhead ? UINT64_MAX : limits.bytes_max + overhead;
}

Result<Kind> KindOf(::archive_entry* entry, const std::string& path) {
  if (::archive_entry_hardlink(entry) != nullptr) return Kind::kHardlink;
  switch (::archive_entry_filetype(entry)) {
    case AE_IFREG:
      return Kind::kFile;
    case AE_IFDIR:
      return Kind::kDirectory;
    case AE_IFLNK:
      return Kind::kSymlink;
    case AE_IFIFO:
      return Kind::kFifo;
    case AE_IFCHR:
      return Kind::kCharDevice;
    case AE_IFBLK:
      return Kind::kBlockDevice;
    default:
      return Status(Code::kDataLoss, "entry \"" + JsonEscape(path) + "\" is of no known type");
  }
}

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
  CRYOPOD_ASSIGN_OR_RETURN(to.kind, KindOf(from, to.path));
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
  CRYOPOD_ASSIGN_OR_RETURN(TarSource source, TarSource::Open(fd, compression == Compression::kZstd,
                                                             StreamBytesMax(limits)));
  TarReader reader(std::make_unique<State>(std::move(source)));
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

Result<std::string_view> TarReader::Content() {
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
    if (size > 0) return std::string_view(static_cast<const char*>(bytes), size);
  }
  return std::string_view();
}

}  // namespace cryopod::archive
