#pragma once

#include <string>
#include <vector>

#include "agent/archive/store/archive_store.h"
#include "agent/criu/images/live_rules.h"
#include "agent/criu/remade_mounts.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "restore/mounts/live_mounts.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::restore {

// The mounts of the live request that its kubelet has made anew, where the checkpointed container
// had a mount of the same kind; destinations are resolved in the mounted root file system. One that
// the record does not name counts only if the container runtime makes it unasked.
std::vector<criu::RemadeMount> FindRemadeMounts(const LiveMounts& live,
                                                const wrapper::Request& request,
                                                const archive::PodCheckpoint& checkpoint);

// Has cryopod-unpack make the container's staged CRIU images those of the live request, which
// `rules` describe but for such mounts. After an error the images are of no use. Errors: as of
// RewriteImages.
Status AdaptToRequest(const jobs::RestoreJob& job, const archive::Archive& archive,
                      const wrapper::Request& request, const LiveMounts& live,
                      criu::LiveRules rules, const std::string& images_dir, Deadline deadline);

}  // namespace cryopod::restore
