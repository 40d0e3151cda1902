// cryopod-restore --job DIR: restores one pod. See agent/jobs/restore_job.h.
// cryopod-restore --job DIR --end: ends what a process that is gone has left of a restore: lets run
// what was started, ends what was not, removes the staging area.
#include <sys/stat.h>

#include <cstring>
#include <optional>
#include <string>

#include "agent/jobs/job_file.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/log.h"
#include "restore/pod_restore.h"
#include "restore/restore_server.h"

namespace {

constexpr int kExitUsage = 2;
constexpr int kExitAbandoned = 3;

cryopod::Status Restore(const std::string& job_dir, bool end, bool& finished) {
  CRYOPOD_ASSIGN_OR_RETURN(
      const cryopod::jobs::RestoreJob job,
      cryopod::jobs::ReadFileOf<cryopod::jobs::RestoreJob>(job_dir, cryopod::jobs::kRequestFile));
  cryopod::SetLogContext(
      {{"operation", job.operation_id}, {"pod", job.pod_namespace + "/" + job.pod_name}});
  const auto left =
      cryopod::jobs::ReadFileOf<cryopod::jobs::Report>(job_dir, cryopod::jobs::kStateFile);
  cryopod::restore::PodRestore pod(job, job_dir);
  std::optional<cryopod::restore::RestoreServer> server;
  if (!end) {
    // The socket comes before anything that takes time: somebody waits for it.
    CRYOPOD_ASSIGN_OR_RETURN(server, cryopod::restore::RestoreServer::Create(job, job_dir));
  }
  pod.Adopt(left.ok() ? *left : cryopod::jobs::Report());
  const cryopod::Status served = server ? server->Run(pod) : cryopod::Status();
  server.reset();
  pod.End();
  finished = pod.finished();
  return served;
}

}  // namespace

int main(int argc, char** argv) {
  const bool end = argc == 4 && std::strcmp(argv[3], "--end") == 0;
  if ((argc != 3 && !end) || std::strcmp(argv[1], "--job") != 0) {
    cryopod::Log(cryopod::LogLevel::kError, "usage: cryopod-restore --job DIR [--end]");
    return kExitUsage;
  }
  cryopod::SetLogLevelFromEnvironment();
  ::umask(0077);
  bool finished = false;
  const cryopod::Status status = Restore(argv[2], end, finished);
  if (!status.ok()) {
    cryopod::Log(cryopod::LogLevel::kError, "restore failed",
                 {{"job", argv[2]}, {"reason", status.message()}});
    return 1;
  }
  return finished ? 0 : kExitAbandoned;
}
