#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/os/file.h"
#include "agent/os/status.h"

// Images of CRIU as files: two magic numbers (u32), then entries of a length (u32) and a protobuf
// message.
namespace cryopod::criu {

static_assert(std::endian::native == std::endian::little, "CRIU images are in host byte order");

// Source: CRIU 4.2, criu/include/magic.h.
inline constexpr uint32_t kCommonImageMagic = 0x54564319;   // IMG_COMMON_MAGIC
inline constexpr uint32_t kServiceImageMagic = 0x55105940;  // IMG_SERVICE_MAGIC
inline constexpr uint32_t kFilesMagic = 0x56303138;         // FILES_MAGIC
inline constexpr uint32_t kRemapMagic = 0x59133954;         // REMAP_FPATH_MAGIC
inline constexpr uint32_t kCoreMagic = 0x55053847;          // CORE_MAGIC
inline constexpr uint32_t kMountsMagic = 0x55563928;        // MNTS_MAGIC
inline constexpr uint32_t kSeccompMagic = 0x64413049;       // SECCOMP_MAGIC
inline constexpr uint32_t kInventoryMagic = 0x58313116;     // INVENTORY_MAGIC
inline constexpr char kFilesImage[] = "files.img";
inline constexpr char kRemapImage[] = "remap-fpath.img";

inline std::string CoreImage(pid_t task) { return "core-" + std::to_string(task) + ".img"; }

inline constexpr size_t kImageBytesMax = size_t{64} << 20;

inline Status BrokenImage(std::string_view image, std::string_view what) {
  return Status(Code::kDataLoss, std::string(image) + ": " + std::string(what));
}

// An image while it is being read. Errors of all: kDataLoss; they name the image.
class EntryReader {
 public:
  // Errors: those of files, too, such as kNotFound.
  static Result<EntryReader> Open(int dir_fd, const std::string& name, uint32_t magic,
                                  size_t bytes_max = kImageBytesMax,
                                  uint32_t family = kCommonImageMagic) {
    CRYOPOD_ASSIGN_OR_RETURN(std::string bytes, ReadFileAt(dir_fd, name, bytes_max));
    return Of(std::move(bytes), name, magic, family);
  }
  static Result<EntryReader> Of(std::string image, const std::string& name, uint32_t magic,
                                uint32_t family = kCommonImageMagic) {
    EntryReader reader(std::move(image), name);
    const std::optional<uint32_t> first = reader.TakeNumber();
    const std::optional<uint32_t> second = reader.TakeNumber();
    if (first != family || second != magic) return BrokenImage(name, "not such an image of CRIU");
    return reader;
  }

  bool AtEnd() const { return at_ == image_.size(); }
  const std::string& image() const { return image_; }

  // The bytes of the next entry, without their length; they lie in the reader.
  Result<std::string_view> NextBytes() {
    const std::optional<uint32_t> size = TakeNumber();
    if (!size || *size > image_.size() - at_) return BrokenImage(name_, "cut off inside an entry");
    at_ += *size;
    return std::string_view(image_).substr(at_ - *size, *size);
  }

  template <typename Message>
  Status Next(Message* message) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string_view bytes, NextBytes());
    return Parse(bytes, message);
  }

  template <typename Message>
  Status Parse(std::string_view bytes, Message* message) const {
    // In two steps: ParseFromArray would print to stderr what is missing.
    if (!message->ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
        !message->IsInitialized()) {
      return BrokenImage(name_, "an entry does not parse");
    }
    return Status();
  }

 private:
  EntryReader(std::string image, std::string name)
      : image_(std::move(image)), name_(std::move(name)) {}

  // Inlined, g++ 12 takes the inside of a short string for uninitialized.
  [[gnu::noinline]] std::optional<uint32_t> TakeNumber() {
    uint32_t number = 0;
    if (image_.size() - at_ < sizeof(number)) return std::nullopt;
    std::memcpy(&number, image_.data() + at_, sizeof(number));
    at_ += sizeof(number);
    return number;
  }

  std::string image_;
  std::string name_;
  size_t at_ = 0;
};

// The bytes of an image while it is being written.
class EntryWriter {
 public:
  explicit EntryWriter(uint32_t magic) {
    AppendNumber(kCommonImageMagic);
    AppendNumber(magic);
  }
  void Append(std::string_view entry) {
    AppendNumber(static_cast<uint32_t>(entry.size()));
    image_ += entry;
  }
  const std::string& image() const { return image_; }

  // In place of the image that is there.
  Status Write(int dir_fd, const std::string& name) const {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file,
                             OpenBeneath(dir_fd, name, O_WRONLY | O_TRUNC | O_NOFOLLOW));
    return WriteAll(file.get(), image_).While(name);
  }

 private:
  void AppendNumber(uint32_t number) {
    image_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  std::string image_;
};

enum class Verdict { kKeep, kReplace, kDrop };

// Every entry of an image is looked at, most stay as they are, byte for byte. `rewrite` gets each:
// Verdict(Message&), or Result<Verdict> where an entry can be refused.
template <typename Message, typename Rewrite>
Status RewriteEntries(int dir_fd, const std::string& name, uint32_t magic, Rewrite rewrite) {
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader, EntryReader::Open(dir_fd, name, magic));
  EntryWriter writer(magic);
  while (!reader.AtEnd()) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string_view entry, reader.NextBytes());
    Message message;
    CRYOPOD_RETURN_IF_ERROR(reader.Parse(entry, &message));
    const Result<Verdict> verdict = rewrite(message);
    if (!verdict.ok()) return verdict.status();
    if (*verdict == Verdict::kKeep) writer.Append(entry);
    if (*verdict == Verdict::kReplace) writer.Append(message.SerializeAsString());
  }
  return writer.image() == reader.image() ? Status() : writer.Write(dir_fd, name);
}

}  // namespace cryopod::criu
