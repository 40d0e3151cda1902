#pragma once

#include <string>
#include <vector>

#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"

namespace cryopod::jobs {

// The directories under <run dir>/jobs. Operation IDs tell their kind by their first letter.

// Makes <jobs dir>/<id> with `request` as its request.json, synced. Errors: kAlreadyExists.
Status CreateJobDirectory(const std::string& jobs_dir, const std::string& operation_id,
                          const std::string& request);
// IDs of operations of one kind ("c-" or "r-").
Result<std::vector<std::string>> ListJobs(const std::string& jobs_dir, const std::string& prefix);

// Starts `program --job <job_dir>` in a session and a cgroup of its own (named by the operation).
Result<Subprocess> StartJobProcess(const std::string& program, const std::string& job_dir,
                                   const std::string& operation_id);

// Whole lines appended to a job's events file since `offset`, which moves on.
std::vector<jobs::JobEvent> ReadNewEvents(const std::string& job_dir, size_t& offset);

// Removes the operation's cgroup (killing what is left in it), its staging mount and its directory.
Status RemoveJob(const std::string& jobs_dir, const std::string& operation_id);

}  // namespace cryopod::jobs
