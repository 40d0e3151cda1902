#pragma once

#include <string>
#include <vector>

#include "agent/archive/store/archive_store.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::archive {

// A claimed name and the invisible directory behind it: <root>/.partial/<name>. Destroyed without
// Publish, it removes the directory.
//
// A living owner holds a flock on the directory, so that another process can tell it from what a
// killed one left. Claims and removals of one store take turns under a flock on .partial itself.
class PartialArchive {
 public:
  // Errors: kAlreadyExists (committed, or being written now).
  static Result<PartialArchive> Claim(const ArchiveStore& store, const std::string& name);

  PartialArchive(PartialArchive&&) noexcept = default;
  PartialArchive& operator=(PartialArchive&&) = delete;
  ~PartialArchive();

  const std::string& name() const { return name_; }
  int layout_dir_fd() const { return layout_dir_.get(); }

  // Syncs the directories of the blobs, then writes oci-layout and, last, index.json, which names
  // the pod's index under the claimed name: without it there is no archive here.
  Status WriteIndex(const Descriptor& pod_index, Origin origin) const;

  // Syncs the directory, renames into the store, syncs the store: durable when this returns. The
  // files in it have been synced by whoever wrote them. Errors: kAlreadyExists.
  Status Publish();

 private:
  PartialArchive(std::string name, UniqueFd store_dir, UniqueFd partial_dir, UniqueFd layout_dir)
      : name_(std::move(name)),
        store_dir_(std::move(store_dir)),
        partial_dir_(std::move(partial_dir)),
        layout_dir_(std::move(layout_dir)) {}

  std::string name_;
  UniqueFd store_dir_;
  UniqueFd partial_dir_;
  UniqueFd layout_dir_;
  bool published_ = false;
};

// <root>/.partial, made when absent.
Result<UniqueFd> OpenPartialDirectory(int store_dir_fd);

// Removes `name` of `from_dir_fd`: renamed into .partial first, under a name that no archive can
// have, so that it is gone at once and what a crash leaves is a leftover.
// Errors: kNotFound.
Status RemoveThroughPartial(int from_dir_fd, const std::string& name, int partial_dir_fd);

// A committed archive that stays as long as the descriptor lives, whoever wants to delete it: a
// shared flock on its directory. Errors: kNotFound, kAborted.
Result<UniqueFd> LeaseCommitted(int store_dir_fd, const std::string& name, int partial_dir_fd);
// Removes one that nobody has leased. Errors: kNotFound, kFailedPrecondition with reason busy.
Status DeleteCommitted(int store_dir_fd, const std::string& name, int partial_dir_fd);

// Removes everything in .partial that no living process holds and that is not named in `running`.
Status RemoveAbandonedIn(int partial_dir_fd, const std::vector<std::string>& running);

}  // namespace cryopod::archive
