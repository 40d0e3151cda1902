#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "agent/archive/oci/oci_json.h"
#include "agent/archive/oci/sha256.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::archive {

// One blob of an archive while it is written: an unnamed-to-be file in blobs/sha256 that gets its
// digest as its name. From the second chunk on a thread of its own hashes and writes, so that both
// overlap with whatever makes the bytes; at most kQueueChunks chunks are on their way.
//
// Threads  one at a time.
class BlobFile {
 public:
  // `blobs_dir_fd` is borrowed. `partial_name` must be unique in the directory.
  static Result<std::unique_ptr<BlobFile>> Create(int blobs_dir_fd, std::string partial_name);
  BlobFile(const BlobFile&) = delete;
  BlobFile& operator=(const BlobFile&) = delete;
  // Without Commit the file is removed.
  ~BlobFile();

  // Errors: of an earlier chunk as well. Afterwards only destruction is allowed.
  Status Append(std::string chunk);

  // Syncs and names the file. Errors: kResourceExhausted, or what fsync(2) says.
  Result<Descriptor> Commit(std::string media_type);

 private:
  static constexpr size_t kQueueChunks = 4;

  BlobFile(int blobs_dir_fd, std::string partial_name, UniqueFd file);
  void WriteChunks();
  Status WriteChunk(std::string_view chunk);
  // Waits until everything is written and ends the thread.
  Status Drain();

  const int blobs_dir_fd_;
  const std::string partial_name_;
  UniqueFd file_;
  bool named_ = false;

  // Of the thread while there is one.
  Sha256 hash_;
  uint64_t size_bytes_ = 0;
  uint64_t flushed_bytes_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> chunks_;  // guarded by mutex_
  bool ended_ = false;              // guarded by mutex_
  Status status_;                   // guarded by mutex_
  std::thread thread_;
};

// A small blob at once.
Result<Descriptor> WriteBlob(int blobs_dir_fd, std::string partial_name, std::string bytes,
                             std::string media_type);

}  // namespace cryopod::archive
