#pragma once

#include <memory>

#include "agent/archive/tar/layer_entry.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Reads a tar that a stranger wrote. Only ever used inside cryopod-unpack.
//
// Refused: whatever libarchive warns of, sparse files, content that is shorter than its header
// says, a missing end marker, anything but zeros after it, a compressed stream that is cut off.
//
// Threads  one at a time.
class TarReader {
 public:
  enum class Compression { kNone, kZstd };

  // `fd` is borrowed. `limits` bound the uncompressed stream with its headers.
  static Result<TarReader> Open(int fd, Compression compression, const UnpackLimits& limits);
  TarReader(TarReader&&) noexcept;
  ~TarReader();

  // The next entry as the tar has it: the path unchecked, whiteouts still names. False at the end.
  // Errors: kDataLoss, kResourceExhausted.
  Result<bool> Next(LayerEntry* entry);
  // The file's content, which must be had before the next entry.
  Status Content(const ByteSink& sink);

 private:
  struct State;
  explicit TarReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cryopod::archive
