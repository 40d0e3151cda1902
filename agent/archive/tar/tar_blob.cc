#include "agent/archive/tar/tar_blob.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

constexpr int kZstdLevel = 1;
constexpr int kZstdWorkers = 2;
// Starting workers takes about as long as compressing this.
constexpr uint64_t kWorkersFromBytes = uint64_t{4} << 20;
constexpr size_t kReadBytes = size_t{1} << 20;

Result<size_t> ReadSome(int fd, char* buffer, size_t size, const std::string& path) {
  while (true) {
    const ssize_t got = ::read(fd, buffer, size);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) {
      return Status(Code::kDataLoss, "\"" + JsonEscape(path) + "\" shrank while it was read");
    }
    if (errno != EINTR) return ErrnoStatus(errno, "read", path);
  }
}

}  // namespace

TarBlob::Pipeline::Pipeline(std::unique_ptr<BlobFile> blob_file, TarWriter::Format format)
    : blob(std::move(blob_file)),
      tar(format, [this](std::string_view bytes) { return Compress(bytes); }) {}

Status TarBlob::Pipeline::Compress(std::string_view bytes) { return zstd->Write(bytes); }

Result<TarBlob> TarBlob::Create(int blobs_dir_fd, std::string partial_name,
                                TarWriter::Format format, uint64_t expected_bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(std::unique_ptr<BlobFile> blob,
                           BlobFile::Create(blobs_dir_fd, std::move(partial_name)));
  auto pipeline = std::make_unique<Pipeline>(std::move(blob), format);
  const int workers = expected_bytes < kWorkersFromBytes ? 0 : kZstdWorkers;
  Result<ZstdCompressor> zstd = ZstdCompressor::Create(
      kZstdLevel, workers, [blob_file = pipeline->blob.get()](std::string chunk) {
        return blob_file->Append(std::move(chunk));
      });
  if (!zstd.ok()) return zstd.status();
  pipeline->zstd = std::make_unique<ZstdCompressor>(std::move(*zstd));
  return TarBlob(std::move(pipeline));
}

Status TarBlob::AddBytes(const LayerEntry& entry, std::string_view bytes) {
  CRYOPOD_RETURN_IF_ERROR(pipeline_->tar.Add(entry));
  return pipeline_->tar.Write(bytes);
}

Status TarBlob::AddFile(const LayerEntry& entry, int file_fd, const ByteProgress& progress) {
  CRYOPOD_RETURN_IF_ERROR(pipeline_->tar.Add(entry));
  std::string& buffer = pipeline_->buffer;
  const size_t needed = static_cast<size_t>(std::min<uint64_t>(entry.size_bytes, kReadBytes));
  if (buffer.size() < needed) buffer.resize(needed);
  for (uint64_t left = entry.size_bytes; left > 0;) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(left, buffer.size()));
    CRYOPOD_ASSIGN_OR_RETURN(const size_t got, ReadSome(file_fd, buffer.data(), want, entry.path));
    CRYOPOD_RETURN_IF_ERROR(pipeline_->tar.Write({buffer.data(), got}));
    left -= got;
    if (progress) CRYOPOD_RETURN_IF_ERROR(progress(got));
  }
  return Status();
}

Result<Descriptor> TarBlob::Commit(std::string media_type) && {
  CRYOPOD_RETURN_IF_ERROR(pipeline_->tar.Finish());
  CRYOPOD_RETURN_IF_ERROR(pipeline_->zstd->Finish());
  CRYOPOD_ASSIGN_OR_RETURN(HashedFile written, pipeline_->blob->Commit());
  Descriptor descriptor;
  descriptor.media_type = std::move(media_type);
  descriptor.digest = std::move(written.digest);
  descriptor.size_bytes = written.size_bytes;
  return descriptor;
}

}  // namespace cryopod::archive
