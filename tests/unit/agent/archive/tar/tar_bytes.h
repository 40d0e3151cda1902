#pragma once

#include <zstd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

namespace cryopod::archive::test {

// Tars made byte by byte, so that they can hold what no library would write.
//
// Source  POSIX.1-2017, pax: ustar header block and extended header records.

struct RawHeader {
  std::string name = {};
  char type = '0';
  std::string link = {};
  uint64_t size_bytes = 0;
  std::string mode = "0000644";
  std::string uid = "0000000";
  std::string gid = "0000000";
  std::string size_field = {};  // instead of size_bytes
  std::string major = "0000000";
  std::string minor = "0000000";
  std::string prefix = {};
  std::string magic = std::string("ustar\00000", 8);
  bool wrong_checksum = false;
};

inline std::string Header(const RawHeader& header) {
  std::array<char, 512> block{};
  const auto put = [&](size_t at, size_t size, const std::string& text) {
    std::memcpy(block.data() + at, text.data(), std::min(size, text.size()));
  };
  char octal[32];
  std::snprintf(octal, sizeof(octal), "%011llo",
                static_cast<unsigned long long>(header.size_bytes));
  put(0, 100, header.name);
  put(100, 8, header.mode);
  put(108, 8, header.uid);
  put(116, 8, header.gid);
  put(124, 12, header.size_field.empty() ? octal : header.size_field);
  put(136, 12, "00000000000");
  put(148, 8, "        ");
  block[156] = header.type;
  put(157, 100, header.link);
  put(257, 8, header.magic);
  put(329, 8, header.major);
  put(337, 8, header.minor);
  put(345, 155, header.prefix);
  unsigned sum = header.wrong_checksum ? 1 : 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(octal, sizeof(octal), "%06o", sum);
  put(148, 8, std::string(octal) + std::string("\0 ", 2));
  return std::string(block.data(), block.size());
}

inline std::string Padded(std::string bytes) {
  bytes.resize((bytes.size() + 511) / 512 * 512, '\0');
  return bytes;
}

inline std::string File(const std::string& name, const std::string& content = "evil") {
  return Header({.name = name, .size_bytes = content.size()}) + Padded(content);
}

inline std::string Special(const std::string& name, char type, const std::string& link = "") {
  return Header({.name = name, .type = type, .link = link});
}

// One record "LENGTH KEY=VALUE\n"; the length counts itself.
inline std::string PaxRecord(const std::string& key, const std::string& value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) {
    length = std::to_string(length).size() + rest;
  }
  return std::to_string(length) + " " + key + "=" + value + "\n";
}

inline std::string Pax(const std::string& records, char type = 'x') {
  return Header({.name = "PaxHeader/x", .type = type, .size_bytes = records.size()}) +
         Padded(records);
}

inline std::string End() { return std::string(1024, '\0'); }

inline std::string Zstd(const std::string& bytes) {
  std::string compressed(ZSTD_compressBound(bytes.size()), '\0');
  compressed.resize(
      ZSTD_compress(compressed.data(), compressed.size(), bytes.data(), bytes.size(), 1));
  return compressed;
}

}  // namespace cryopod::archive::test
