#pragma once

#include <string>
#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/archive/oci/program_record.h"
#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::restore {

// In what a container's request differs from the container that was checkpointed: its image by
// digest, and what `live` says of the program that it would run. The restored processes go on with
// what they were started with, whatever the request says, so a difference is refused unless the pod
// allows it by name; the environment, part of which is another in every pod, is only told. What an
// old archive did not record differs in nothing.
//
// Returns what differs and is restored all the same, a sentence each; of variables the names only.
// Errors: kFailedPrecondition with reason request_differs, both sides of every difference named;
// kInvalidArgument (no such difference can be allowed).
Result<std::vector<std::string>> CompareRequest(const archive::ContainerCheckpoint& recorded,
                                                const wrapper::Request& request,
                                                const archive::ProgramRecord& live);

}  // namespace cryopod::restore
