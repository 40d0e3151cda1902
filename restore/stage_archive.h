#pragma once

#include <cstdint>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "agent/archive/store/archive_store.h"
#include "agent/archive/tar/layer_entry.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// Where the CRIU images of one pod restore lie, a directory a container: in a tmpfs of their own,
// so that no disk is waited for, or on disk when memory is short. Process memory is secret: mode
// 0700. Destroyed, it is unmounted and removed.
class StagingArea {
 public:
  // Clears away what an earlier process of this job left. `memory_path` and `disk_path` are
  // directories of this job alone. Memory is used when it leaves as much again for the processes
  // themselves. Errors: kResourceExhausted (names both needs).
  static Result<StagingArea> Create(const std::string& memory_path, const std::string& disk_path,
                                    uint64_t needed_bytes);
  // Removes what a process that is gone has left in these two places.
  static Status RemoveLeftovers(const std::string& memory_path, const std::string& disk_path);
  StagingArea(StagingArea&& other) noexcept;
  StagingArea& operator=(StagingArea&&) = delete;
  ~StagingArea();

  const std::string& path() const { return path_; }
  bool in_memory() const { return in_memory_; }
  std::string images_dir(const std::string& container) const { return path_ + "/" + container; }
  // Out of sight at once; that its memory goes back takes a while, which nobody waits for here.
  void RemoveContainer(const std::string& container);

 private:
  StagingArea(std::string path, bool in_memory) : path_(std::move(path)), in_memory_(in_memory) {}
  std::string path_;
  bool in_memory_ = false;
  std::vector<std::future<void>> removals_;
};

// Bytes that the CRIU images of all containers take, as the archive says, and some room.
// Errors: kDataLoss (no such sum).
Result<uint64_t> StagingBytes(const archive::PodCheckpoint& checkpoint);

// What one container's directory may hold.
Result<archive::UnpackLimits> StagingLimits(const archive::PodCheckpoint& checkpoint);

// Unpacks the container's CRIU images into the area and verifies their blob meanwhile: what was
// hashed is what was unpacked, or it is removed again. Errors: kDataLoss, kResourceExhausted,
// kDeadlineExceeded; each names the container.
Status StageContainer(const jobs::RestoreJob& job, const archive::Archive& archive,
                      const std::string& container, const StagingArea& area, Deadline deadline);

// The parts of a container, or kNotFound with the names that there are.
Result<archive::ContainerParts> FindParts(const archive::Archive& archive,
                                          const std::string& container);

}  // namespace cryopod::restore
