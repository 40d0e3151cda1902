#include "agent/daemon/operations/describe_restore.h"

#include "agent/jobs/job_file.h"

namespace cryopod::daemon {

jobs::RestoreJob DescribeRestoreJob(const settings::AgentSettings& config,
                                    const wrapper::Request& request,
                                    const std::string& operation_id, const std::string& job_dir,
                                    const archive::Archive& archive) {
  jobs::RestoreJob job;
  job.operation_id = operation_id;
  job.archive = archive.name();
  job.digest = archive.digest();
  job.pod_uid = request.pod_uid;
  job.pod_namespace = request.pod_namespace;
  job.pod_name = request.pod_name;
  job.restore_from = request.restore_from;
  job.restore_operation = request.restore_operation;
  job.store_root = config.store_root();
  job.state_dir = config.state_dir;
  job.unpack_program = config.unpack_program();
  job.criu_program = config.criu_program;
  job.staging_dir = job_dir + "/" + jobs::kStagingDirectory;
  job.idle_timeout = std::chrono::seconds(config.restore_idle_timeout_s);
  job.hold = std::chrono::milliseconds(config.restore_hold_ms);
  return job;
}

}  // namespace cryopod::daemon
