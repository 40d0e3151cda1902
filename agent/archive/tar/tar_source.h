#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/archive/tar/zstd_stream.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// The bytes of a tar, decompressed when need be and counted.
//
// Threads  one at a time.
class TarSource {
 public:
  // `fd` is borrowed.
  static Result<TarSource> Open(int fd, bool zstd, uint64_t stream_bytes_max);

  // The next piece, empty at the end. Valid until the next call.
  // Errors: kDataLoss (damaged or cut off), kResourceExhausted (above the limit).
  Result<std::string_view> Next();

  // Bytes of the stream so far. Behind the last one that is not zero is the end of the tar.
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t nonzero_end() const { return nonzero_end_; }

 private:
  TarSource(int fd, uint64_t stream_bytes_max) : fd_(fd), stream_bytes_max_(stream_bytes_max) {}
  Result<std::string_view> NextDecompressed();
  // False at the end of the file.
  Result<bool> FillInput();

  int fd_;
  uint64_t stream_bytes_max_;
  std::optional<ZstdDecompressor> zstd_;
  std::vector<char> input_;
  std::vector<char> output_;
  std::string_view input_left_;
  uint64_t size_bytes_ = 0;
  uint64_t nonzero_end_ = 0;
};

}  // namespace cryopod::archive
