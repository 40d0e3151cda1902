#include "agent/archive/tar/blob_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/os/file.h"

namespace cryopod::archive {
namespace {

// Write-back starts while the blob grows: the final fsync then finds little left to do.
constexpr uint64_t kFlushBytes = uint64_t{16} << 20;

}  // namespace

Result<std::unique_ptr<BlobFile>> BlobFile::Create(int blobs_dir_fd, std::string partial_name) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd file,
                           OpenAt(blobs_dir_fd, partial_name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return std::unique_ptr<BlobFile>(
      new BlobFile(blobs_dir_fd, std::move(partial_name), std::move(file)));
}

BlobFile::BlobFile(int blobs_dir_fd, std::string partial_name, UniqueFd file)
    : blobs_dir_fd_(blobs_dir_fd), partial_name_(std::move(partial_name)), file_(std::move(file)) {}

BlobFile::~BlobFile() {
  (void)Drain().ok();
  if (!named_) ::unlinkat(blobs_dir_fd_, partial_name_.c_str(), 0);
}

Status BlobFile::Append(std::string chunk) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return chunks_.size() < kQueueChunks || !status_.ok(); });
  if (!status_.ok()) return status_;
  // A thread is not worth its start for one chunk.
  if (!chunks_.empty() && !thread_.joinable()) thread_ = std::thread([this] { WriteChunks(); });
  chunks_.push_back(std::move(chunk));
  changed_.notify_all();
  return Status();
}

void BlobFile::WriteChunks() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !chunks_.empty() || ended_; });
    if (chunks_.empty()) return;
    const std::string chunk = std::move(chunks_.front());
    lock.unlock();
    Status written = WriteChunk(chunk);
    lock.lock();
    // Taken away only now, so that the chunk in work counts as well.
    chunks_.pop_front();
    if (!written.ok()) {
      status_ = std::move(written);
      chunks_.clear();
    }
    changed_.notify_all();
  }
}

Status BlobFile::WriteChunk(std::string_view chunk) {
  hash_.Update(chunk);
  CRYOPOD_RETURN_IF_ERROR(WriteAll(file_.get(), chunk));
  size_bytes_ += chunk.size();
  if (size_bytes_ - flushed_bytes_ >= kFlushBytes) {
    ::sync_file_range(file_.get(), static_cast<off_t>(flushed_bytes_),
                      static_cast<off_t>(size_bytes_ - flushed_bytes_), SYNC_FILE_RANGE_WRITE);
    flushed_bytes_ = size_bytes_;
  }
  return Status();
}

Status BlobFile::Drain() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) {
    thread_.join();
  } else {
    WriteChunks();
  }
  return status_;
}

Result<Descriptor> BlobFile::Commit(std::string media_type) {
  CRYOPOD_RETURN_IF_ERROR(Drain());
  CRYOPOD_RETURN_IF_ERROR(Sync(file_.get(), "a blob"));
  const std::string digest = hash_.Finish();
  CRYOPOD_RETURN_IF_ERROR(CheckDigest(digest).While("hashing a blob"));
  // An equal blob is replaced by itself.
  if (::renameat(blobs_dir_fd_, partial_name_.c_str(), blobs_dir_fd_, DigestHex(digest).c_str()) !=
      0) {
    return ErrnoStatus(errno, "renameat", digest);
  }
  named_ = true;
  return Descriptor{
      .media_type = std::move(media_type), .digest = digest, .size_bytes = size_bytes_};
}

Result<Descriptor> WriteBlob(int blobs_dir_fd, std::string partial_name, std::string bytes,
                             std::string media_type) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<BlobFile> blob,
                           BlobFile::Create(blobs_dir_fd, std::move(partial_name)));
  CRYOPOD_RETURN_IF_ERROR(blob->Append(std::move(bytes)));
  return blob->Commit(std::move(media_type));
}

}  // namespace cryopod::archive
