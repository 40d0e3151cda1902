#include "agent/archive/tar/zstd_stream.h"

#include <zstd.h>

#include <algorithm>
#include <utility>

namespace cryopod::archive {
namespace {

// The first chunk is small and the next ones grow: memory that is touched for the first time costs
// more than what a small stream compresses to.
constexpr size_t kFirstChunkBytes = size_t{64} << 10;
constexpr size_t kChunkBytesMax = size_t{1} << 20;
// What `zstd -d` accepts without --long.
constexpr int kWindowLogMax = 27;

Status ZstdStatus(Code code, const char* doing, size_t result) {
  return Status(code, std::string(doing) + ": " + ZSTD_getErrorName(result));
}

}  // namespace

void ZstdCompressor::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

ZstdCompressor::ZstdCompressor(ZSTD_CCtx_s* context, Output output)
    : context_(context), output_(std::move(output)), next_chunk_bytes_(kFirstChunkBytes) {}

Result<ZstdCompressor> ZstdCompressor::Create(int level, int workers, Output output) {
  ZstdCompressor compressor(ZSTD_createCCtx(), std::move(output));
  ZSTD_CCtx* context = compressor.context_.get();
  if (context == nullptr) return Status(Code::kResourceExhausted, "zstd: out of memory");
  for (const auto& [parameter, value] :
       {std::pair{ZSTD_c_compressionLevel, level}, std::pair{ZSTD_c_checksumFlag, 1}}) {
    const size_t result = ZSTD_CCtx_setParameter(context, parameter, value);
    if (ZSTD_isError(result)) return ZstdStatus(Code::kInternal, "zstd", result);
  }
  // A libzstd built without threads says no and compresses all the same.
  if (workers > 0) (void)ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, workers);
  return compressor;
}

Status ZstdCompressor::Pass() {
  if (chunk_used_ == 0) return Status();
  chunk_.resize(chunk_used_);
  chunk_used_ = 0;
  return output_(std::exchange(chunk_, std::string()));
}

Result<size_t> ZstdCompressor::Step(const char* bytes, size_t size, size_t* used, bool end) {
  if (chunk_.empty()) {
    chunk_.resize(next_chunk_bytes_);
    next_chunk_bytes_ = std::min(next_chunk_bytes_ * 4, kChunkBytesMax);
  }
  ZSTD_inBuffer in{bytes, size, *used};
  ZSTD_outBuffer out{chunk_.data(), chunk_.size(), chunk_used_};
  const size_t left =
      ZSTD_compressStream2(context_.get(), &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
  if (ZSTD_isError(left)) return ZstdStatus(Code::kInternal, "compressing", left);
  *used = in.pos;
  chunk_used_ = out.pos;
  if (chunk_used_ == chunk_.size()) CRYOPOD_RETURN_IF_ERROR(Pass());
  return left;
}

Status ZstdCompressor::Write(std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size()) {
    CRYOPOD_RETURN_IF_ERROR(Step(bytes.data(), bytes.size(), &used, false).status());
  }
  return Status();
}

Status ZstdCompressor::Finish() {
  size_t used = 0;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const size_t left, Step("", 0, &used, true));
    if (left == 0) return Pass();
  }
}

void ZstdDecompressor::Free::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

ZstdDecompressor::ZstdDecompressor(ZSTD_DCtx_s* context) : context_(context) {}

Result<ZstdDecompressor> ZstdDecompressor::Create() {
  ZstdDecompressor decompressor(ZSTD_createDCtx());
  if (!decompressor.context_) return Status(Code::kResourceExhausted, "zstd: out of memory");
  const size_t result =
      ZSTD_DCtx_setParameter(decompressor.context_.get(), ZSTD_d_windowLogMax, kWindowLogMax);
  if (ZSTD_isError(result)) return ZstdStatus(Code::kInternal, "zstd", result);
  return decompressor;
}

Result<size_t> ZstdDecompressor::Read(std::string_view* input, char* output, size_t size) {
  ZSTD_inBuffer in{input->data(), input->size(), 0};
  ZSTD_outBuffer out{output, size, 0};
  const size_t left = ZSTD_decompressStream(context_.get(), &out, &in);
  if (ZSTD_isError(left)) return ZstdStatus(Code::kDataLoss, "decompressing", left);
  // With nothing to read and nothing to write libzstd asks for the next frame's header; that does
  // not take the end of the last one back.
  if (in.pos > 0 || out.pos > 0) at_frame_end_ = left == 0;
  input->remove_prefix(in.pos);
  return out.pos;
}

}  // namespace cryopod::archive
