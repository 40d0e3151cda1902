#include "agent/criu/images/tmpfs_tar.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/criu/images/image_file.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

using Kind = TmpfsEntry::Kind;

constexpr size_t kBlockBytes = 512;
constexpr size_t kInputBytes = size_t{128} << 10;
constexpr size_t kOutputBytes = size_t{256} << 10;
constexpr size_t kPathBytesMax = 4096;
constexpr size_t kComponentBytesMax = 255;
constexpr size_t kNameBytesShown = 200;
constexpr uint64_t kSizeBytesMax = uint64_t{1} << 62;

// The one member of a gzip file, behind which there is nothing but zeros: tar fills its last record
// with them. Another program may take more behind it, and in other formats than this one.
class GzipMember {
 public:
  GzipMember(UniqueFd file, std::string image) : file_(std::move(file)), image_(std::move(image)) {
    is_open_ = ::inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK;
  }
  GzipMember(const GzipMember&) = delete;
  GzipMember& operator=(const GzipMember&) = delete;
  ~GzipMember() {
    if (is_open_) ::inflateEnd(&stream_);
  }

  // Empty at the end. Valid until the next call.
  Result<std::string_view> Next() {
    if (!is_open_) return Status(Code::kResourceExhausted, "zlib: out of memory");
    stream_.next_out = reinterpret_cast<Bytef*>(output_.data());
    stream_.avail_out = static_cast<uInt>(output_.size());
    while (!at_end_ && stream_.avail_out != 0) {
      CRYOPOD_ASSIGN_OR_RETURN(const bool more, Refill());
      if (!more) return BrokenImage(image_, "the gzip stream is cut off");
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        at_end_ = true;
      } else if (result != Z_OK) {
        return BrokenImage(image_, "not a sound gzip stream");
      }
    }
    const size_t size = output_.size() - stream_.avail_out;
    if (size == 0) CRYOPOD_RETURN_IF_ERROR(CheckRest());
    return std::string_view(output_.data(), size);
  }

 private:
  Result<bool> Refill() {
    if (stream_.avail_in != 0) return true;
    ssize_t size = 0;
    do {
      size = ::read(file_.get(), input_.data(), input_.size());
    } while (size < 0 && errno == EINTR);
    if (size < 0) return ErrnoStatus(errno, "read", image_);
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(size);
    return size != 0;
  }

  Status CheckRest() {
    while (true) {
      CRYOPOD_ASSIGN_OR_RETURN(const bool more, Refill());
      if (!more) return Status();
      const auto is_zero = [](Bytef byte) { return byte == 0; };
      if (!std::all_of(stream_.next_in, stream_.next_in + stream_.avail_in, is_zero)) {
        return BrokenImage(image_, "bytes follow the gzip stream");
      }
      stream_.avail_in = 0;
    }
  }

  UniqueFd file_;
  const std::string image_;
  z_stream stream_{};
  bool is_open_ = false;
  bool at_end_ = false;
  std::vector<char> input_ = std::vector<char>(kInputBytes);
  std::vector<char> output_ = std::vector<char>(kOutputBytes);
};

// One block, a header of GNU tar's own format or what extends it.
class Block {
 public:
  explicit Block(std::string_view bytes) : bytes_(bytes) {}

  bool IsZero() const { return bytes_.find_first_not_of('\0') == std::string_view::npos; }
  char At(size_t offset) const { return bytes_[offset]; }
  // Up to the first NUL.
  std::string Text(size_t offset, size_t size) const {
    const std::string_view field = bytes_.substr(offset, size);
    return std::string(field.substr(0, field.find('\0')));
  }
  // Octal digits with NUL or blanks behind them, or, where they do not fit, a 0x80 and the number.
  std::optional<uint64_t> Number(size_t offset, size_t size) const {
    const std::string_view field = bytes_.substr(offset, size);
    uint64_t number = 0;
    if (field.front() == '\x80') {
      for (const char byte : field.substr(1)) {
        if (number >> 54 != 0) return std::nullopt;
        number = number << 8 | static_cast<unsigned char>(byte);
      }
      return number;
    }
    const size_t end = std::min(field.find_first_not_of("01234567"), field.size());
    if (end == 0 ||
        field.substr(end).find_first_not_of(std::string_view("\0 ", 2)) != std::string_view::npos) {
      return std::nullopt;
    }
    for (const char digit : field.substr(0, end)) {
      number = number << 3 | static_cast<uint64_t>(digit - '0');
    }
    return number;
  }
  bool IsHeader() const {
    static constexpr std::string_view kMagic("ustar  \0", 8);
    static constexpr size_t kSumAt = 148;
    static constexpr size_t kSumBytes = 8;
    uint64_t sum = kSumBytes * ' ';
    for (size_t i = 0; i < bytes_.size(); ++i) {
      if (i < kSumAt || i >= kSumAt + kSumBytes) sum += static_cast<unsigned char>(bytes_[i]);
    }
    return bytes_.substr(257, kMagic.size()) == kMagic && Number(kSumAt, kSumBytes) == sum;
  }

 private:
  std::string_view bytes_;
};

std::optional<Kind> KindOf(char type) {
  switch (type) {
    case '0':
    case 'S':  // with holes
      return Kind::kFile;
    case '1':
      return Kind::kHardlink;
    case '2':
      return Kind::kSymlink;
    case '3':
      return Kind::kCharDevice;
    case '4':
      return Kind::kBlockDevice;
    case '5':
      return Kind::kDirectory;
    case '6':
      return Kind::kFifo;
    default:
      return std::nullopt;
  }
}

// "./a/b" or, of a directory, "./a/b/" as "a/b"; nullopt for what tar does not write.
std::optional<std::string> RelativePath(std::string_view name, bool is_directory) {
  if (!name.starts_with("./")) return std::nullopt;
  name.remove_prefix(2);
  if (name.empty()) return is_directory ? std::optional<std::string>("") : std::nullopt;
  if (is_directory != name.ends_with('/')) return std::nullopt;
  if (is_directory) name.remove_suffix(1);
  if (name.size() > kPathBytesMax) return std::nullopt;
  for (const std::string_view component : Split(name, '/')) {
    if (component.empty() || component == "." || component == ".." ||
        component.size() > kComponentBytesMax) {
      return std::nullopt;
    }
  }
  return std::string(name);
}

class TarReading {
 public:
  TarReading(UniqueFd file, const std::string& image,
             const std::function<Status(const TmpfsEntry&)>& judge, uint64_t entries_max)
      : image_(image), judge_(judge), entries_max_(entries_max), gzip_(std::move(file), image) {}

  Status Run() {
    while (true) {
      CRYOPOD_ASSIGN_OR_RETURN(const Block header, NextBlock());
      if (header.IsZero()) break;
      CRYOPOD_RETURN_IF_ERROR(Take(header));
    }
    if (long_name_ || long_target_) return Broken("a long name of nothing");
    if (!has_top_) return Broken("no entry of the top");
    return CheckEnd();
  }

 private:
  Status Broken(const std::string& what) const {
    return BrokenImage(image_, where_.empty() ? what : what + " near \"" + where_ + "\"");
  }

  // Valid until the next call.
  Result<Block> NextBlock() {
    if (piece_.empty()) {
      CRYOPOD_ASSIGN_OR_RETURN(piece_, gzip_.Next());
      if (piece_.empty()) return Broken("the tar is cut off");
      if (piece_.size() % kBlockBytes != 0) return Broken("a tar of no whole blocks");
    }
    const Block block(piece_.substr(0, kBlockBytes));
    piece_.remove_prefix(kBlockBytes);
    return block;
  }

  Status Skip(uint64_t bytes) {
    for (uint64_t left = (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; left != 0;) {
      if (piece_.empty()) {
        CRYOPOD_RETURN_IF_ERROR(NextBlock().status());
        left -= kBlockBytes;
        continue;
      }
      const auto passed = static_cast<size_t>(std::min<uint64_t>(left, piece_.size()));
      piece_.remove_prefix(passed);
      left -= passed;
    }
    return Status();
  }

  Status CheckEnd() {
    CRYOPOD_ASSIGN_OR_RETURN(const Block second, NextBlock());
    if (!second.IsZero()) return Broken("an end that is none");
    while (true) {
      if (piece_.find_first_not_of('\0') != std::string_view::npos) {
        return Broken("bytes follow the end of the tar");
      }
      CRYOPOD_ASSIGN_OR_RETURN(piece_, gzip_.Next());
      if (piece_.empty()) return Status();
    }
  }

  // The header is gone once more is read.
  Status Take(const Block& header) {
    if (!header.IsHeader()) return Broken("no header of GNU tar's format");
    const char type = header.At(156);
    const std::optional<uint64_t> size = header.Number(124, 12);
    if (!size || *size > kSizeBytesMax) return Broken("a size that is none");
    if (type == 'L') return TakeLongText(*size, &long_name_);
    if (type == 'K') return TakeLongText(*size, &long_target_);
    if (++entries_ > entries_max_) {
      return Broken("more than " + std::to_string(entries_max_) + " entries");
    }
    TmpfsEntry entry;
    CRYOPOD_RETURN_IF_ERROR(Read(header, type, &entry));
    if (type == 'S') {
      CRYOPOD_RETURN_IF_ERROR(TakeHoles(header, *size));
    } else if (entry.kind != Kind::kFile && *size != 0) {
      return Broken("content of what is no file");
    }
    CRYOPOD_RETURN_IF_ERROR(judge_(entry));
    return Skip(*size);
  }

  Status TakeLongText(uint64_t size, std::optional<std::string>* text) {
    // "./", the path, '/' and NUL.
    if (*text || size < 2 || size > kPathBytesMax + 4) return Broken("a long name that is none");
    std::string bytes;
    while (bytes.size() < size) {
      CRYOPOD_ASSIGN_OR_RETURN(const Block block, NextBlock());
      for (size_t i = 0; i < kBlockBytes && bytes.size() < size; ++i) bytes += block.At(i);
    }
    if (bytes.find('\0') != bytes.size() - 1) return Broken("a long name that is none");
    bytes.pop_back();
    *text = std::move(bytes);
    return Status();
  }

  Status Read(const Block& header, char type, TmpfsEntry* entry) {
    const std::string name =
        long_name_ ? *std::exchange(long_name_, std::nullopt) : header.Text(0, 100);
    std::string target =
        long_target_ ? *std::exchange(long_target_, std::nullopt) : header.Text(157, 100);
    where_ = Printable(name, kNameBytesShown);
    const std::optional<Kind> kind = KindOf(type);
    if (!kind)
      return Broken("an entry of a type that no dump has (\"" + Printable({&type, 1}, 4) + "\")");
    entry->kind = *kind;
    const std::optional<std::string> path = RelativePath(name, *kind == Kind::kDirectory);
    if (!path) return Broken("a name that no dump has");
    entry->path = *path;
    if (*kind == Kind::kHardlink) {
      const std::optional<std::string> linked = RelativePath(target, /*is_directory=*/false);
      if (!linked) return Broken("a hard link out of the tmpfs");
      target = *linked;
    }
    entry->target = std::move(target);
    if (header.At(265) != '\0' || header.At(297) != '\0') return Broken("an owner by name");
    CRYOPOD_RETURN_IF_ERROR(ReadNumbers(header, entry));
    return CheckPlace(*entry);
  }

  Status ReadNumbers(const Block& header, TmpfsEntry* entry) const {
    std::vector<std::pair<size_t, uint32_t*>> fields = {
        {100, &entry->mode}, {108, &entry->uid}, {116, &entry->gid}};
    if (entry->kind == Kind::kCharDevice || entry->kind == Kind::kBlockDevice) {
      fields.insert(fields.end(), {{329, &entry->major}, {337, &entry->minor}});
    }
    for (const auto& [offset, field] : fields) {
      const std::optional<uint64_t> number = header.Number(offset, 8);
      if (!number || *number >= UINT32_MAX) return Broken("a number that is none");
      *field = static_cast<uint32_t>(*number);
    }
    entry->mode &= 07777;
    return Status();
  }

  // In the directory that is being read, or in one that it lies in: in nothing that the archive
  // itself has made a link.
  Status CheckPlace(const TmpfsEntry& entry) {
    if (entry.path.empty()) {
      if (std::exchange(has_top_, true)) return Broken("a second top");
      return Status();
    }
    if (!has_top_) return Broken("no entry of the top before the one");
    const size_t slash = entry.path.rfind('/');
    const std::string_view parent =
        std::string_view(entry.path).substr(0, slash == std::string::npos ? 0 : slash);
    while (!directories_.empty() && directories_.back() != parent) directories_.pop_back();
    if (directories_.empty() && !parent.empty())
      return Broken("an entry in no directory of the tar");
    if (entry.kind == Kind::kDirectory) directories_.push_back(entry.path);
    return Status();
  }

  // Where what the file holds belongs. Its blocks come one after the other, so that there are as
  // many of them as the size says only where none but the last is less than whole.
  Status TakeHoles(const Block& header, uint64_t size) {
    const std::optional<uint64_t> file_size = header.Number(483, 12);
    if (!file_size || *file_size > kSizeBytesMax) return Broken("a size that is none");
    uint64_t end = 0;
    uint64_t sum = 0;
    const auto take = [&](const Block& block, size_t offset, size_t count) -> Result<bool> {
      for (size_t at = offset; at < offset + count * 24; at += 24) {
        if (block.At(at + 12) == '\0') return false;
        const std::optional<uint64_t> start = block.Number(at, 12);
        const std::optional<uint64_t> length = block.Number(at + 12, 12);
        if (!start || !length || *start < end || *start > *file_size ||
            *length > *file_size - *start || (*length != 0 && sum % kBlockBytes != 0)) {
          return Broken("holes that are none");
        }
        end = *start + *length;
        sum += *length;
      }
      return true;
    };
    CRYOPOD_ASSIGN_OR_RETURN(bool is_full, take(header, 386, 4));
    for (char more = header.At(482); more != 0;) {
      if (more != 1 || !is_full) return Broken("holes that are none");
      CRYOPOD_ASSIGN_OR_RETURN(const Block block, NextBlock());
      CRYOPOD_ASSIGN_OR_RETURN(is_full, take(block, 0, 21));
      more = block.At(504);
    }
    return sum == size ? Status() : Broken("holes that are none");
  }

  const std::string& image_;
  const std::function<Status(const TmpfsEntry&)>& judge_;
  const uint64_t entries_max_;
  GzipMember gzip_;
  std::string_view piece_;  // of what is decompressed, not yet looked at
  std::string where_;
  std::optional<std::string> long_name_;
  std::optional<std::string> long_target_;
  bool has_top_ = false;
  std::vector<std::string> directories_;  // those that are being read, each in the one before
  uint64_t entries_ = 0;
};

}  // namespace

Status ReadTmpfsTar(int images_dir_fd, const std::string& image,
                    const std::function<Status(const TmpfsEntry&)>& judge, uint64_t entries_max) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd file, OpenBeneath(images_dir_fd, image, O_RDONLY | O_NOFOLLOW));
  return TarReading(std::move(file), image, judge, entries_max).Run();
}

}  // namespace cryopod::criu
