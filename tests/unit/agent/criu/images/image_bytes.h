#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace cryopod::criu::test {

// The bytes of CRIU images as CRIU writes them.
inline constexpr uint32_t kImageMagic = 0x54564319;
inline constexpr uint32_t kServiceMagic = 0x55105940;
inline constexpr uint32_t kPstreeMagic = 0x50273030;
inline constexpr uint32_t kCoreMagic = 0x55053847;
inline constexpr uint32_t kStatsMagic = 0x57093306;
inline constexpr uint32_t kFileLocksMagic = 0x54323616;

inline std::string Number(uint32_t number) {
  std::string bytes(sizeof(number), '\0');
  std::memcpy(bytes.data(), &number, sizeof(number));
  return bytes;
}

template <typename Message>
std::string Entry(const Message& message) {
  const std::string bytes = message.SerializePartialAsString();
  return Number(static_cast<uint32_t>(bytes.size())) + bytes;
}

}  // namespace cryopod::criu::test
