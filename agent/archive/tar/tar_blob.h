#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/archive/oci/descriptor.h"
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
  static constexpr uint64_t kBytesUnknown = UINT64_MAX;

  // `expected_bytes`: how much will come, about; a little is compressed without workers.
  static Result<TarBlob> Create(int blobs_dir_fd, std::string partial_name,
                                TarWriter::Format format, uint64_t expected_bytes);

  // An entry without content.
  Status Add(const LayerEntry& entry) { return pipeline_->tar.Add(entry); }
  Status AddBytes(const LayerEntry& entry, std::string_view bytes);
  // Reads entry.size_bytes from the offset of `file_fd` on. Errors: kDataLoss when there are less.
  Status AddFile(const LayerEntry& entry, int file_fd, const ByteProgress& progress);
  Result<Descriptor> Commit(std::string media_type) &&;

 private:
  // On the heap: each stage refers to the next.
  struct Pipeline {
    Pipeline(std::unique_ptr<BlobFile> blob_file, TarWriter::Format format);
    Status Compress(std::string_view bytes);

    std::unique_ptr<BlobFile> blob;
    std::unique_ptr<ZstdCompressor> zstd;
    TarWriter tar;
    std::string buffer;
  };
  explicit TarBlob(std::unique_ptr<Pipeline> pipeline) : pipeline_(std::move(pipeline)) {}
  std::unique_ptr<Pipeline> pipeline_;
};

}  // namespace cryopod::archive
