#include "agent/archive/tar/tar_blob.h"

#include <utility>

namespace cryopod::archive {
namespace {

constexpr int kZstdLevel = 1;
constexpr int kZstdWorkers = 2;
// Starting workers takes about as long as compressing this.
constexpr uint64_t kWorkersFromBytes = uint64_t{4} << 20;

}  // namespace

TarBlob::TarBlob(std::unique_ptr<BlobFile> blob, ZstdCompressor zstd, TarWriter::Format format)
    : blob_(std::move(blob)),
      zstd_(std::move(zstd)),
      tar_(format, [this](std::string_view bytes) { return zstd_.Write(bytes); }) {}

Result<std::unique_ptr<TarBlob>> TarBlob::Create(int blobs_dir_fd, std::string partial_name,
                                                 TarWriter::Format format,
                                                 uint64_t expected_bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(std::unique_ptr<BlobFile> blob,
                           BlobFile::Create(blobs_dir_fd, std::move(partial_name)));
  const auto append = [file = blob.get()](std::string chunk) {
    return file->Append(std::move(chunk));
  };
  const int workers = expected_bytes < kWorkersFromBytes ? 0 : kZstdWorkers;
  CRYOPOD_ASSIGN_OR_RETURN(ZstdCompressor zstd,
                           ZstdCompressor::Create(kZstdLevel, workers, append));
  return std::unique_ptr<TarBlob>(new TarBlob(std::move(blob), std::move(zstd), format));
}

Status TarBlob::AddFile(const LayerEntry& entry, int file_fd, const ByteProgress& progress) {
  if (!progress) return tar_.AddFile(entry, file_fd, nullptr);
  return tar_.AddFile(entry, file_fd,
                      [&](std::string_view bytes) { return progress(bytes.size()); });
}

Result<Descriptor> TarBlob::Commit(std::string media_type) {
  CRYOPOD_RETURN_IF_ERROR(tar_.Finish());
  CRYOPOD_RETURN_IF_ERROR(zstd_.Finish());
  return blob_->Commit(std::move(media_type));
}

}  // namespace cryopod::archive
