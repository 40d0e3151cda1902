#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/os/status.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace cryopod::archive {

// Compresses a stream into one zstd frame with a checksum. Memory is bounded by the level's window
// and the number of workers, not by the stream.
//
// Source   RFC 8878; libzstd.
// Threads  one at a time; the workers are inside.
class ZstdCompressor {
 public:
  // Takes a chunk of compressed bytes.
  using Output = std::function<Status(std::string chunk)>;

  // `workers` 0 compresses in the caller's thread.
  static Result<ZstdCompressor> Create(int level, int workers, Output output);

  Status Write(std::string_view bytes);
  // Ends the frame. Nothing may follow.
  Status Finish();

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  ZstdCompressor(ZSTD_CCtx_s* context, Output output);
  // Returns what is left to flush, as ZSTD_compressStream2 does.
  Result<size_t> Step(const char* bytes, size_t size, size_t* used, bool end);
  Status Pass();

  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
  Output output_;
  std::string chunk_;
  size_t chunk_used_ = 0;
  size_t next_chunk_bytes_;
};

// Decompresses what a stranger wrote: windows up to 128 MiB, truncation and damage are errors.
class ZstdDecompressor {
 public:
  static Result<ZstdDecompressor> Create();

  // Moves bytes from `input`, whose front it removes, to `output`; returns how many came out. 0
  // means that more input is needed. Errors: kDataLoss.
  Result<size_t> Read(std::string_view* input, char* output, size_t size);
  // True between frames: an input may end here.
  bool at_frame_end() const { return at_frame_end_; }

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  explicit ZstdDecompressor(ZSTD_DCtx_s* context);
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  bool at_frame_end_ = false;  // an empty stream is no frame
};

}  // namespace cryopod::archive
