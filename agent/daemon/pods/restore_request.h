#pragma once

#include <string>

#include "agent/api/types.h"
#include "agent/archive/store/archive_store.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "cri/pod_request.h"

namespace cryopod::daemon {

// The request that a restore is made from: the caller's, or, as an explicit act, what the archive
// recorded, under a new UID and with a log directory of this node's. Containers are the archive's
// and in its order. Errors: kInvalidArgument (names differ, both or neither given), kDataLoss.
Result<cri::PodRequest> BuildPodRequest(const settings::AgentSettings& config,
                                        const archive::Archive& archive,
                                        const api::RestoreRequest& asked, Deadline deadline);

// Pure: are the request's containers exactly the archive's? Puts them into the archive's order.
// Those that had finished before the checkpoint may be among them, and come first.
Status MatchContainers(const archive::PodCheckpoint& checkpoint, cri::PodRequest& request);

// A random UUID, version 4: the kernel's. Source: random(4), RFC 9562 section 5.4.
Result<std::string> NewUid();

}  // namespace cryopod::daemon
