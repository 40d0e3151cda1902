#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/archive/tar/layer_entry.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Entries on a pipe, from cryopod-unpack to whoever started it.
//
// Shape    records: type (1 byte), length of the header (uint32), header. Type 'E' is an entry, its
//          header the fields below in the order of LayerEntry; a file's bytes follow, exactly
//          size_bytes of them. Type 'Z' is the end, its header is empty. Numbers are little-endian,
//          a string is its length (uint32) and its bytes.
// Threads  one at a time.

inline constexpr uint32_t kEntryHeaderBytesMax = 1u << 20;

// What ends the stream.
inline constexpr std::string_view kEndRecord{"Z\0\0\0\0", 5};

// The record of an entry, without the file's bytes. Pure.
std::string EncodeEntry(const LayerEntry& entry);
// The header of one, `bytes` from anywhere. Every field is there and nothing after it, or
// kDataLoss; what the fields say is for LayerChecker to judge.
Result<LayerEntry> DecodeEntryHeader(std::string_view bytes);

// The reading side: the parent, which believes nothing. The descriptor must be non-blocking.
class EntryReader {
 public:
  EntryReader(int fd, Deadline deadline);

  // False at the end record, behind which nothing may stand. The last file must have been read.
  // Errors: kDataLoss (no such record), kUnavailable (the writer ended early), kDeadlineExceeded.
  Result<bool> Next(LayerEntry* entry);
  // Bytes of the current file, at most `size`; 0 at its end. Errors as above.
  Result<size_t> Read(char* buffer, size_t size);
  uint64_t left_bytes() const { return left_bytes_; }

 private:
  // Makes at least one byte available. False at the end of the stream.
  Result<bool> Fill();
  // At least one byte. Errors: kUnavailable at the end of the stream.
  Result<size_t> ReadSome(char* buffer, size_t size);
  Status ReadExactly(char* buffer, size_t size);

  int fd_;
  Deadline deadline_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t left_bytes_ = 0;
};

}  // namespace cryopod::archive
