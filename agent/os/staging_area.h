#pragma once

#include <cstdint>
#include <future>
#include <set>
#include <string>
#include <vector>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// Where what one operation captures or restores lies meanwhile: a tmpfs of its own, so that no disk
// is waited for, or a directory on disk when memory is short. Process memory lies in it: mode 0700,
// and on a disk whose file system can, encrypted with a key that a power cut takes along.
// Destroyed, it is unmounted and removed.
class StagingArea {
 public:
  // An area for `size_bytes`, a tmpfs for no more. Both paths are of this operation alone; what an
  // earlier process of it left there is removed. Memory is used when it leaves as much again for
  // the processes themselves. Errors: kResourceExhausted (names both needs).
  static Result<StagingArea> Create(const std::string& memory_path, const std::string& disk_path,
                                    uint64_t size_bytes);
  // Removes what processes have left in `disk_parent` that are gone, as after a power cut; areas
  // with one of these names are still somebody's. Every other one is tried; returns the first
  // error.
  static Status RemoveAllBut(const std::string& disk_parent, const std::set<std::string>& names);
  // Removes what a process that is gone has left in these two places.
  static Status RemoveLeftovers(const std::string& memory_path, const std::string& disk_path);
  StagingArea(StagingArea&&) noexcept = default;
  StagingArea& operator=(StagingArea&&) = delete;
  ~StagingArea();

  bool in_memory() const { return in_memory_; }
  const std::string& path() const { return path_; }
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }
  // A fresh directory in it; an older one of this name is removed first.
  Result<UniqueFd> MakeDirectory(const std::string& name) const;
  // Out of sight at once; that its memory goes back takes a while, for which only the destructor
  // waits.
  void RemoveInBackground(const std::string& name);

 private:
  StagingArea(std::string path, bool in_memory, UniqueFd dir)
      : path_(std::move(path)), in_memory_(in_memory), dir_(std::move(dir)) {}
  std::string path_;
  bool in_memory_ = false;
  UniqueFd dir_;
  std::vector<std::future<void>> removals_;
};

}  // namespace cryopod
