#pragma once

#include "agent/archive/store/archive_store.h"
#include "agent/checkpoint/guard.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_events.h"
#include "agent/os/deadline.h"

namespace cryopod::checkpoint {

// The act, from resolve to report. Whatever fails, the pod runs on and nothing is left but logs,
// which are kept under <state dir>/logs/<operation id>/.
//
// `job_dir` is the operation's directory, `guard` was forked before any thread.
jobs::CheckpointResult CheckpointPod(const jobs::CheckpointJob& job, const std::string& job_dir,
                                     Guard& guard, const jobs::EventLog& events);

}  // namespace cryopod::checkpoint
