#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/archive/tar/blob_file.h"
#include "agent/archive/tar/layer_entry.h"
#include "agent/archive/tar/tar_writer.h"
#include "agent/archive/tar/zstd_stream.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Called with the number of source bytes that went by since the last call; an error ends the work.
using ByteProgress = std::function<Status(uint64_t bytes)>;

// A zstd-compressed tar as one blob: tar → zstd (workers of its own) → hash and file (a thread of
// its own). Memory is bounded, about 32 MiB, whatever goes through.
//
// Threads  one at a time; different blobs at once.
class TarBlob {
 public:
  // `expected_bytes`: how much will come, about; a little is compressed without workers, UINT64_MAX
  // stands for nobody knows.
  static Result<std::unique_ptr<TarBlob>> Create(int blobs_dir_fd, std::string partial_name,
                                                 TarWriter::Format format, uint64_t expected_bytes);
  TarBlob(const TarBlob&) = delete;
  TarBlob& operator=(const TarBlob&) = delete;

  // Where entries go that are no files of this machine.
  TarWriter& tar() { return tar_; }
  Status AddFile(const LayerEntry& entry, int file_fd, const ByteProgress& progress);
  // Afterwards only destruction is allowed.
  Result<Descriptor> Commit(std::string media_type);

 private:
  TarBlob(std::unique_ptr<BlobFile> blob, ZstdCompressor zstd, TarWriter::Format format);

  // Each stage refers to the one before it.
  const std::unique_ptr<BlobFile> blob_;
  ZstdCompressor zstd_;
  TarWriter tar_;
};

}  // namespace cryopod::archive
