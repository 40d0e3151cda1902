#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::checkpoint {

// Where dumps and writable layers are captured: a tmpfs of its own, so that a disk is not waited
// for inside the freeze; a directory on disk when memory is short. Process memory lies in it: mode
// 0700. Destroyed, it is unmounted and removed.
class StagingArea {
 public:
  // `needed_bytes` is what preflight predicted. Memory is used as long as it leaves as much again
  // available. Errors: kResourceExhausted.
  static Result<StagingArea> Create(const std::string& memory_path, const std::string& disk_path,
                                    uint64_t needed_bytes);
  StagingArea(StagingArea&&) noexcept;
  StagingArea& operator=(StagingArea&&) = delete;
  ~StagingArea();

  bool in_memory() const { return in_memory_; }
  const std::string& path() const { return path_; }
  // A fresh directory beneath it; an older one of this name is removed first.
  Result<UniqueFd> MakeDirectory(const std::string& name);
  void Remove();

 private:
  StagingArea(std::string path, bool in_memory, UniqueFd dir)
      : path_(std::move(path)), in_memory_(in_memory), dir_(std::move(dir)) {}
  std::string path_;
  bool in_memory_ = false;
  UniqueFd dir_;
};

}  // namespace cryopod::checkpoint
