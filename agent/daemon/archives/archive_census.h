#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agent/os/status.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

// What the archive store holds, by namespace. Opening an archive parses all of its documents, so
// what was learned of one is kept until its index changes.
//
// Threads  one at a time.
class ArchiveCensus {
 public:
  explicit ArchiveCensus(std::string store_root) : store_root_(std::move(store_root)) {}
  // Errors: those of opening and listing the store.
  Result<metrics::StoreUsage> Count();

  // More archives than these are opened each time.
  static constexpr size_t kKnownMax = 4096;

 private:
  // Of index.json, nothing of one that is absent: an archive that takes another's place has another
  // one.
  struct Identity {
    uint64_t inode = 0;
    int64_t modified_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  struct Entry {
    Identity identity;
    std::string namespace_;
    uint64_t size_bytes = 0;
  };
  Identity Identify(const std::string& archive) const;

  const std::string store_root_;
  std::map<std::string, Entry> known_;  // by archive
};

}  // namespace cryopod::daemon
