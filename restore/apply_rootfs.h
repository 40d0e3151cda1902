#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// Applies the writable layer of `container` to the root file system mounted at `rootfs`; an archive
// without one changes nothing. What fails half-way leaves a root that must not be used: the runtime
// removes it with the container.
// Errors: kDataLoss, kNotFound, kResourceExhausted, kFailedPrecondition; each names the container.
Status ApplyRootfs(const jobs::RestoreJob& job, const archive::Archive& archive,
                   const std::string& container, const std::string& rootfs, Deadline deadline);

}  // namespace cryopod::restore
