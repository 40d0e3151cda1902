#include "agent/archive/tar/tar_source.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace cryopod::archive {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

}  // namespace

Result<TarSource> TarSource::Open(int fd, bool zstd, uint64_t stream_bytes_max) {
  TarSource source(fd, stream_bytes_max);
  source.input_.resize(kBufferBytes);
  if (!zstd) return source;
  source.output_.resize(kBufferBytes);
  CRYOPOD_ASSIGN_OR_RETURN(ZstdDecompressor decompressor, ZstdDecompressor::Create());
  source.zstd_.emplace(std::move(decompressor));
  return source;
}

Result<bool> TarSource::FillInput() {
  while (true) {
    const ssize_t got = ::read(fd_, input_.data(), input_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", "the blob");
    input_left_ = std::string_view(input_.data(), static_cast<size_t>(got));
    return got > 0;
  }
}

Result<std::string_view> TarSource::NextDecompressed() {
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const size_t size,
                             zstd_->Read(&input_left_, output_.data(), output_.size()));
    if (size > 0) return std::string_view(output_.data(), size);
    if (!input_left_.empty()) continue;
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, FillInput());
    if (more) continue;
    if (!zstd_->at_frame_end()) return Status(Code::kDataLoss, "the zstd stream is cut off");
    return std::string_view();
  }
}

Result<std::string_view> TarSource::Next() {
  std::string_view piece;
  if (zstd_) {
    CRYOPOD_ASSIGN_OR_RETURN(piece, NextDecompressed());
  } else {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, FillInput());
    if (more) piece = input_left_;
  }
  const size_t last = piece.find_last_not_of('\0');
  if (last != std::string_view::npos) nonzero_end_ = size_bytes_ + last + 1;
  size_bytes_ += piece.size();
  if (size_bytes_ > stream_bytes_max_) {
    return Status(Code::kResourceExhausted,
                  "the tar is larger than " + std::to_string(stream_bytes_max_) + " bytes");
  }
  return piece;
}

}  // namespace cryopod::archive
