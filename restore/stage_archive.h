#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/archive/tar/layer_entry.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/staging_area.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// The archive of the job; its digest must be the one that was asked for.
// Errors: kNotFound, kFailedPrecondition (another digest), kDataLoss; each names the archive.
Result<archive::Archive> OpenArchiveOf(const jobs::RestoreJob& job);

// Keeps it in the store: archive::ArchiveStore::Lease.
Result<UniqueFd> LeaseArchiveOf(const jobs::RestoreJob& job);

// What the archive says of a container; nothing of one that it does not hold.
const archive::ContainerCheckpoint& RecordOf(const archive::PodCheckpoint& checkpoint,
                                             const std::string& container);

// What one container's directory may hold: as many bytes as the CRIU images of all of them take, as
// the archive says, and some room. Errors: kDataLoss (no such sum).
Result<archive::UnpackLimits> StagingLimits(const archive::PodCheckpoint& checkpoint);

// Unpacks the container's CRIU images into a directory of its name and verifies their blob
// meanwhile: what was hashed is what was unpacked, or it is removed again. Errors: kDataLoss,
// kResourceExhausted, kDeadlineExceeded; each names the container.
Status StageContainer(const jobs::RestoreJob& job, const archive::Archive& archive,
                      const std::string& container, const StagingArea& area, Deadline deadline);

}  // namespace cryopod::restore
