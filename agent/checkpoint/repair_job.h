#pragma once

#include <stop_token>
#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Undoes what a checkpoint left whose process is gone: thaws, waits for CRIUs that still work,
// thaws again after each, unmounts and removes the staging area. A CRIU is never killed inside a
// dump: one that holds a task at the deadline is left alone, and stays the caller's to wait for.
// The job's directory itself stays: whoever calls removes it when everything is undone. Calling it
// again is harmless.
//
// Where it was decided that the source stops (kStoppingFile) its processes are killed instead, as
// they are, frozen.
//
// Errors: kDeadlineExceeded when a CRIU did not end in time; everything else was done all the same.
// kCancelled: `stop` was requested while a CRIU was waited for; nothing was killed, and a later
// call goes on.
Status RepairJob(const std::string& job_dir, Deadline deadline, const std::stop_token& stop = {});

// The first step of RepairJob alone, thawing or killing: quick, so that it can be done for every
// job before anything else at start-up.
Status ReleaseJob(const std::string& job_dir);

// Nothing of the pod stands still because of this job any more: it can be thawed, and no CRIU of
// the job lives that would freeze it again.
bool IsReleased(const std::string& job_dir);

}  // namespace cryopod::checkpoint
