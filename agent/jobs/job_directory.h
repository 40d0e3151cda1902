#pragma once

#include <string>
#include <vector>

#include "agent/jobs/job_file.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"

namespace cryopod::jobs {

// "c-20261124-221502-1a2b3c4d": kind, UTC time, chance.
std::string NewOperationId(JobKind kind);
// What a caller may choose: letters, digits and '-', at most 64. Errors: kInvalidArgument.
Status CheckOperationId(const std::string& id);

// Makes <jobs dir>/<id> with `request` as its request.json, synced. Errors: kAlreadyExists.
Status CreateJobDirectory(const std::string& jobs_dir, const std::string& operation_id,
                          const std::string& request);

struct ListedJob {
  std::string id;
  JobKind kind = JobKind::kCheckpoint;
  // Success; kNotFound: it has no request, so nothing was started; else its request is not
  // understood (IsNotUnderstood), and `kind` says nothing.
  Status readable;
};
// All of them, by ID. Errors: kNotFound.
Result<std::vector<ListedJob>> ListJobs(const std::string& jobs_dir);

// Starts `program --job <job_dir>` in a session and a cgroup of its own (named by the operation).
Result<Subprocess> StartJobProcess(const std::string& program, const std::string& job_dir,
                                   const std::string& operation_id);

// Removes the operation's cgroup (killing what is left in it), its staging mount and its directory.
Status RemoveJob(const std::string& jobs_dir, const std::string& operation_id);

}  // namespace cryopod::jobs
