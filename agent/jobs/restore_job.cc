#include "agent/jobs/restore_job.h"

#include "agent/jobs/job_file.h"
#include "agent/jobs/job_kind.h"

namespace cryopod::jobs {
namespace {

constexpr std::chrono::hours kWaitMax{24};

const char* AbsolutePath(std::string_view text) {
  return text.starts_with('/') ? nullptr : "is no absolute path";
}

}  // namespace

void Describe(json::Fields& fields, RestoreJob& job) {
  DescribeKind(fields, JobKind::kRestore);
  fields.Required("operation_id", job.operation_id, json::Name);
  fields.Required("archive", job.archive, json::Name);
  fields.Optional("digest", job.digest);
  fields.Required("pod_uid", job.pod_uid, json::Name);
  fields.Optional("pod_namespace", job.pod_namespace);
  fields.Optional("pod_name", job.pod_name);
  fields.Required("restore_from", job.restore_from);
  fields.Optional("restore_operation", job.restore_operation);
  fields.Required("store_root", job.store_root, AbsolutePath);
  fields.Required("state_dir", job.state_dir, AbsolutePath);
  fields.Required("unpack_program", job.unpack_program, AbsolutePath);
  fields.Optional("criu_program", job.criu_program);
  fields.Required("staging_dir", job.staging_dir, AbsolutePath);
  fields.Optional("idle_timeout_s", job.idle_timeout);
  fields.Optional("hold_ms", job.hold);
  if (job.idle_timeout > kWaitMax) fields.Fail("idle_timeout_s", "is longer than a day");
  if (job.hold > kWaitMax) fields.Fail("hold_ms", "is longer than a day");
}

Result<RestoreJob> ReadRestoreJob(const std::string& job_dir) {
  return ReadFileOf<RestoreJob>(job_dir, kRequestFile);
}

}  // namespace cryopod::jobs
