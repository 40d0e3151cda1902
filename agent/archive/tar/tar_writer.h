#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agent/archive/tar/layer_entry.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Writes a tar, entry after entry: the same entries give the same bytes.
//
// Source   POSIX pax interchange format, written by libarchive; whiteouts as OCI image-spec v1.1
//          layer.md has them. Names go out as the bytes they are.
// Threads  one at a time.
class TarWriter {
 public:
  enum class Format {
    kPlain,  // ustar, with pax records only where ustar cannot hold a value
    kFull,   // pax: times to the nanosecond, xattrs
  };

  TarWriter(Format format, ByteSink output);
  // Writes nothing more: a tar without Finish has no end marker.
  ~TarWriter();

  // A file's bytes follow with Write, exactly entry.size_bytes of them.
  // Errors: kUnimplemented (a name or xattr that tar cannot hold), and what `output` returns.
  Status Add(const LayerEntry& entry);
  Status Write(std::string_view bytes);
  Status AddBytes(std::string path, uint32_t mode, std::string_view bytes);
  // Reads entry.size_bytes from the offset of `file_fd` on; `seen` gets them too, once they are
  // written. Errors: kDataLoss when there are less, and those of `seen`.
  Status AddFile(const LayerEntry& entry, int file_fd, const ByteSink& seen);
  // The end marker. Errors: kInternal when the last file is short.
  Status Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cryopod::archive
