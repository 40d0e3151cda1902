#pragma once

#include "agent/archive/archive_store.h"
#include "agent/os/status.h"
#include "restore/job.h"

namespace cryopod::restore {

// The archive of the job; its digest must be the one that was asked for.
// Errors: kNotFound, kFailedPrecondition (another digest), kDataLoss; each names the archive.
Result<archive::Archive> OpenArchiveOf(const RestoreJob& job);

}  // namespace cryopod::restore
