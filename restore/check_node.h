#pragma once

#include <string>
#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// Why a pod that was checkpointed on `source` cannot live on `target`, a sentence each; empty when
// it can. Pure. Compared: architecture, what the CPU offers to programs (a subset is enough; of an
// archive that does not say it, every flag of /proc/cpuinfo), kernel (not older than the source's
// in its first two numbers), CRIU (the same), cgroup version (equal).
std::vector<std::string> Fits(const archive::NodeFacts& source, const archive::NodeFacts& target);

// This node; the runtime's name and version stay empty.
// Errors: kNotFound (no criu; names the package), kFailedPrecondition (criu too old).
Result<archive::NodeFacts> ReadThisNode(const std::string& criu_program, Deadline deadline);

// Errors: kFailedPrecondition with every sentence of Fits.
Status CheckNode(const archive::PodCheckpoint& checkpoint, const std::string& criu_program,
                 Deadline deadline);

}  // namespace cryopod::restore
