// cryopod-checkpoint: one checkpoint of one pod. Started by the agent in a session and a cgroup of
// its own, and able to finish without it. Links no gRPC: what CRI answered stands in the request.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "agent/checkpoint/cancellation.h"
#include "agent/checkpoint/checkpoint_pod.h"
#include "agent/checkpoint/guard.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_events.h"
#include "agent/jobs/job_file.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::checkpoint {
namespace {

Status Run(const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(job_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::ProcessIdentity self, jobs::IdentifyProcess(::getpid()));
  CRYOPOD_RETURN_IF_ERROR(jobs::WriteFileOf(job_dir, jobs::kProcessFile, self));
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::CheckpointJob job,
                           jobs::ReadFileOf<jobs::CheckpointJob>(job_dir, jobs::kRequestFile));
  SetLogContext({{"operation", job.operation_id}, {"pod", job.pod_namespace + "/" + job.pod_name}});
  // Before any thread exists.
  CRYOPOD_ASSIGN_OR_RETURN(Guard guard, Guard::Fork(directory.get()));
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::EventLog events, jobs::EventLog::Open(job_dir));
  const jobs::CheckpointResult result = CheckpointPod(job, job_dir, guard, events);
  CRYOPOD_RETURN_IF_ERROR(jobs::WriteFileOf(job_dir, jobs::kResultFile, result).While("reporting"));
  return result.status;
}

}  // namespace
}  // namespace cryopod::checkpoint

int main(int argc, char** argv) {
  using namespace cryopod;
  if (argc != 3 || std::string(argv[1]) != "--job") {
    std::fprintf(stderr, "usage: cryopod-checkpoint --job DIRECTORY\n");
    return 2;
  }
  SetLogLevelFromEnvironment();
  ::signal(SIGPIPE, SIG_IGN);
  checkpoint::WatchForCancellation();
  ::umask(077);
  // A core of this process could hold pages of the pod.
  ::prctl(PR_SET_DUMPABLE, 0);
  const Status status = checkpoint::Run(argv[2]);
  if (status.ok()) return 0;
  Log(LogLevel::kError, "checkpoint failed", {{"reason", status.message()}});
  return 1;
}
