#pragma once

#include "agent/archive/store/archive_store.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// The archive of the job; its digest must be the one that was asked for.
// Errors: kNotFound, kFailedPrecondition (another digest), kDataLoss; each names the archive.
Result<archive::Archive> OpenArchiveOf(const jobs::RestoreJob& job);

}  // namespace cryopod::restore
