#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "agent/os/status.h"

namespace cryopod::criu {

static_assert(std::endian::native == std::endian::little, "CRIU images are in host byte order");

// Source: CRIU 4.2, criu/include/magic.h.
inline constexpr uint32_t kCommonImageMagic = 0x54564319;   // IMG_COMMON_MAGIC
inline constexpr uint32_t kServiceImageMagic = 0x55105940;  // IMG_SERVICE_MAGIC
inline constexpr uint32_t kFilesMagic = 0x56303138;         // FILES_MAGIC
inline constexpr uint32_t kRemapMagic = 0x59133954;         // REMAP_FPATH_MAGIC

inline Status BrokenImage(std::string_view image, std::string_view what) {
  return Status(Code::kDataLoss, std::string(image) + ": " + std::string(what));
}

// An image while it is being read: two magic numbers, then entries of a length and a protobuf
// message. `image` and `name` are borrowed. Errors of all: kDataLoss; they name the image.
class EntryReader {
 public:
  static Result<EntryReader> Open(std::string_view image, std::string_view name, uint32_t family,
                                  uint32_t magic) {
    EntryReader reader(image, name);
    const std::optional<uint32_t> first = reader.TakeNumber();
    const std::optional<uint32_t> second = reader.TakeNumber();
    if (first != family || second != magic) return BrokenImage(name, "not such an image of CRIU");
    return reader;
  }

  bool AtEnd() const { return rest_.empty(); }

  // The bytes of the next entry, without their length.
  Result<std::string_view> NextBytes() {
    const std::optional<uint32_t> size = TakeNumber();
    if (!size || *size > rest_.size()) return BrokenImage(name_, "cut off inside an entry");
    const std::string_view bytes = rest_.substr(0, *size);
    rest_.remove_prefix(*size);
    return bytes;
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
  EntryReader(std::string_view image, std::string_view name) : rest_(image), name_(name) {}

  // Inlined, g++ 12 takes the inside of a short string for uninitialized.
  [[gnu::noinline]] std::optional<uint32_t> TakeNumber() {
    uint32_t number = 0;
    if (rest_.size() < sizeof(number)) return std::nullopt;
    std::memcpy(&number, rest_.data(), sizeof(number));
    rest_.remove_prefix(sizeof(number));
    return number;
  }

  std::string_view rest_;
  std::string_view name_;
};

}  // namespace cryopod::criu
