#pragma once

#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Undoes what a checkpoint left whose process is gone without a result: thaws, waits for CRIUs that
// still work (they are not killed inside a dump as long as the deadline has not passed), thaws
// again after each, unmounts and removes the staging area. The job's directory itself stays:
// whoever calls removes it when everything is undone. Calling it again is harmless. Errors:
// kDeadlineExceeded when a CRIU had to be killed; everything else was done all the same.
Status RepairJob(const std::string& job_dir, Deadline deadline);

// The first step of RepairJob alone: quick, so that it can be done for every job before anything
// else at start-up.
Status ThawJob(const std::string& job_dir);

}  // namespace cryopod::checkpoint
