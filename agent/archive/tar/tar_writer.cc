#include "agent/archive/tar/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;

constexpr uint64_t kFillBytesMax = uint64_t{64} << 20;
constexpr size_t kReadBytes = size_t{1} << 20;

struct FreeEntry {
  void operator()(::archive_entry* entry) const { ::archive_entry_free(entry); }
};
using Entry = std::unique_ptr<::archive_entry, FreeEntry>;

// The name of the entry in a tar: OCI marks removals by names.
std::string TarPath(const LayerEntry& entry) {
  if (entry.kind == Kind::kOpaque) return entry.path + "/.wh..wh..opq";
  if (entry.kind != Kind::kWhiteout) return entry.path;
  const size_t slash = entry.path.rfind('/');
  if (slash == std::string::npos) return ".wh." + entry.path;
  return entry.path.substr(0, slash + 1) + ".wh." + entry.path.substr(slash + 1);
}

Entry ToTarEntry(const LayerEntry& from) {
  Entry to(::archive_entry_new());
  ::archive_entry_set_pathname(to.get(), TarPath(from).c_str());
  ::archive_entry_set_filetype(to.get(), FileTypeOf(from.kind));
  ::archive_entry_set_perm(to.get(), from.mode);
  ::archive_entry_set_uid(to.get(), from.uid);
  ::archive_entry_set_gid(to.get(), from.gid);
  ::archive_entry_set_size(to.get(), static_cast<la_int64_t>(from.size_bytes));
  const std::chrono::nanoseconds time(from.mtime_ns);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  ::archive_entry_set_mtime(to.get(), seconds.count(), (time - seconds).count());
  if (from.kind == Kind::kSymlink) {
    ::archive_entry_set_symlink(to.get(), from.link_target.c_str());
  }
  if (from.kind == Kind::kHardlink) {
    ::archive_entry_set_hardlink(to.get(), from.link_target.c_str());
  }
  if (from.kind == Kind::kCharDevice || from.kind == Kind::kBlockDevice) {
    ::archive_entry_set_rdevmajor(to.get(), from.device_major);
    ::archive_entry_set_rdevminor(to.get(), from.device_minor);
  }
  for (const auto& [name, value] : from.xattrs) {
    ::archive_entry_xattr_add_entry(to.get(), name.c_str(), value.data(), value.size());
  }
  return to;
}

// A pax record is "LENGTH KEY=VALUE": a '=' in the key cannot be told from the one that ends it.
Status CheckXattrNames(const LayerEntry& entry) {
  for (const auto& [name, value] : entry.xattrs) {
    if (name.find('=') == std::string::npos) continue;
    return Status(Code::kUnimplemented, "\"" + JsonEscape(entry.path) + "\" has the xattr \"" +
                                            JsonEscape(name) + "\", which a tar cannot hold");
  }
  return Status();
}

Result<size_t> ReadSome(int fd, char* buffer, size_t size, const std::string& path) {
  while (true) {
    const ssize_t got = ::read(fd, buffer, size);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) {
      return Status(Code::kDataLoss, "\"" + JsonEscape(path) + "\" shrank while it was read");
    }
    if (errno != EINTR) return ErrnoStatus(errno, "read", path);
  }
}

}  // namespace

struct TarWriter::State {
  explicit State(ByteSink sink) : output(std::move(sink)), tar(::archive_write_new()) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    // Freeing closes, and closing fills up the last file and writes the end marker: a tar that is
    // not whole must not get it. A failed one is not closed, which costs libarchive 3.6 a leak of
    // 33 bytes, and is the lesser evil where it would fill up terabytes.
    abandoned = !finished;
    if (left_bytes > kFillBytesMax) ::archive_write_fail(tar);
    ::archive_write_free(tar);
  }

  Status Failure(const std::string& doing) const {
    const char* text = ::archive_error_string(tar);
    return Status(Code::kInternal, doing + ": " + (text == nullptr ? "failed" : text));
  }

  // Never fails for libarchive, which would leak its buffers then; the first error of the output
  // stays and ends every call that follows.
  static la_ssize_t Pass(::archive*, void* client, const void* bytes, size_t size) {
    auto* state = static_cast<State*>(client);
    if (state->output_status.ok() && !state->abandoned) {
      state->output_status = state->output({static_cast<const char*>(bytes), size});
    }
    return static_cast<la_ssize_t>(size);
  }

  ByteSink output;
  Status output_status;
  ::archive* tar;
  std::vector<char> buffer;  // of AddFile
  uint64_t left_bytes = 0;   // of the file that is being written
  bool finished = false;
  bool abandoned = false;
};

TarWriter::TarWriter(Format format, ByteSink output)
    : state_(std::make_unique<State>(std::move(output))) {
  ::archive* tar = state_->tar;
  if (format == Format::kFull) {
    ::archive_write_set_format_pax(tar);
  } else {
    ::archive_write_set_format_pax_restricted(tar);
  }
  ::archive_write_set_options(tar, "hdrcharset=BINARY,xattrheader=SCHILY");
  // Unblocked: what libarchive is given goes to the output without another copy.
  ::archive_write_set_bytes_per_block(tar, 0);
  ::archive_write_open(tar, state_.get(), nullptr, &State::Pass, nullptr);
}

TarWriter::~TarWriter() = default;

Status TarWriter::Add(const LayerEntry& entry) {
  if (state_->left_bytes != 0) return Status(Code::kInternal, "the last file of the tar is short");
  CRYOPOD_RETURN_IF_ERROR(CheckXattrNames(entry));
  const Entry header = ToTarEntry(entry);
  // A warning means that the header holds less than the entry.
  if (::archive_write_header(state_->tar, header.get()) != ARCHIVE_OK) {
    return state_->Failure("tar header of \"" + JsonEscape(entry.path) + "\"");
  }
  CRYOPOD_RETURN_IF_ERROR(state_->output_status);
  if (entry.kind == Kind::kFile) state_->left_bytes = entry.size_bytes;
  return Status();
}

Status TarWriter::Write(std::string_view bytes) {
  if (bytes.size() > state_->left_bytes) {
    return Status(Code::kInternal, "more bytes than the tar header says");
  }
  while (!bytes.empty()) {
    const la_ssize_t written = ::archive_write_data(state_->tar, bytes.data(), bytes.size());
    if (written <= 0) return state_->Failure("tar");
    CRYOPOD_RETURN_IF_ERROR(state_->output_status);
    state_->left_bytes -= static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return Status();
}

Status TarWriter::AddBytes(std::string path, uint32_t mode, std::string_view bytes) {
  CRYOPOD_RETURN_IF_ERROR(Add({.path = std::move(path), .mode = mode, .size_bytes = bytes.size()}));
  return Write(bytes);
}

Status TarWriter::AddFile(const LayerEntry& entry, int file_fd, const ByteSink& seen) {
  CRYOPOD_RETURN_IF_ERROR(Add(entry));
  std::vector<char>& buffer = state_->buffer;
  const size_t needed = static_cast<size_t>(std::min<uint64_t>(entry.size_bytes, kReadBytes));
  if (buffer.size() < needed) buffer.resize(needed);
  for (uint64_t left = entry.size_bytes; left > 0;) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(left, buffer.size()));
    CRYOPOD_ASSIGN_OR_RETURN(const size_t got, ReadSome(file_fd, buffer.data(), want, entry.path));
    const std::string_view bytes(buffer.data(), got);
    CRYOPOD_RETURN_IF_ERROR(Write(bytes));
    if (seen) CRYOPOD_RETURN_IF_ERROR(seen(bytes));
    left -= got;
  }
  return Status();
}

Status TarWriter::Finish() {
  if (state_->left_bytes != 0) return Status(Code::kInternal, "the last file of the tar is short");
  state_->finished = true;
  if (::archive_write_close(state_->tar) != ARCHIVE_OK) return state_->Failure("end of the tar");
  return state_->output_status;
}

}  // namespace cryopod::archive
