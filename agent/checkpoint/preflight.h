#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/checkpoint/unrestorable.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/proc.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// What preflight measured on the way.
struct PreflightReport {
  uint64_t memory_bytes = 0;    // that the dumps will hold: memory, and what CRIU keeps beside it
  uint64_t writable_bytes = 0;  // that copies of the writable layers take
  // What a staging area has to hold: the pod runs on between the prediction and the cut.
  uint64_t StagingBytes() const;
  std::vector<std::string> external_files;  // that a restore needs and the archive has not
};

// Everything of the pod that can be known to fail, before anything is frozen. Changes nothing.
// Errors: kFailedPrecondition or kResourceExhausted with every reason, one a line; kAborted when
// nothing stands against it but exec sessions, which may end in a moment.
Result<PreflightReport> Preflight(const jobs::CheckpointJob& job, const ResolvedPod& pod);

// Pure: of the processes of a cgroup those that do not descend from the container's first one: exec
// sessions.
std::vector<ProcessInfo> FindStrayProcesses(const std::vector<ProcessInfo>& processes, pid_t init);

// Pure: why a process with such a descriptor cannot be dumped, without the process's name; kNone
// when it can.
Objection ReasonAgainstDescriptor(const std::string& link);

}  // namespace cryopod::checkpoint
