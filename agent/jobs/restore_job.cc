#include "agent/jobs/restore_job.h"

#include <array>

#include "agent/jobs/job_file.h"

namespace cryopod::jobs {
namespace {

constexpr std::chrono::hours kWaitMax{24};

constexpr std::array<std::string_view, 6> kStageNames = {"checking", "staging", "serving",
                                                         "restored", "failed",  "abandoned"};
constexpr std::array<std::string_view, 8> kPhaseNames = {
    "waiting", "staged", "restoring", "restored", "held", "started", "failed", "coldStarted"};

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
  fields.Optional("restore_once", job.restore_once);
  fields.Required("store_root", job.store_root, AbsolutePath);
  fields.Required("state_dir", job.state_dir, AbsolutePath);
  fields.Required("unpack_program", job.unpack_program, AbsolutePath);
  fields.Optional("criu_program", job.criu_program);
  fields.Optional("hold_plugin", job.hold_plugin);
  fields.Required("staging_dir", job.staging_dir, AbsolutePath);
  fields.Optional("idle_timeout_s", job.idle_timeout);
  fields.Optional("hold_ms", job.hold);
  if (job.idle_timeout > kWaitMax) fields.Fail("idle_timeout_s", "is longer than a day");
  if (job.hold > kWaitMax) fields.Fail("hold_ms", "is longer than a day");
}

void Describe(json::Fields& fields, ContainerReport& container) {
  std::string reason_code(ReasonName(container.reason_code));
  fields.Required("name", container.name);
  fields.Optional("id", container.id);
  fields.Named("state", container.phase, kPhaseNames);
  fields.Optional("reason", container.reason);
  fields.Optional("reason_code", reason_code);
  fields.Optional("pid", container.pid);
  fields.Optional("start_time_ticks", container.start_time_ticks);
  fields.Optional("state_dir", container.state_dir);
  fields.Optional("rootfs", container.rootfs);
  fields.Optional("cgroup_dir", container.cgroup_dir);
  fields.Optional("uts_path", container.uts_path);
  fields.Optional("hostname", container.hostname);
  fields.Optional("frozen", container.frozen);
  container.reason_code = reason_code.empty() ? Reason::kNone : ReasonFromName(reason_code);
}

void Describe(json::Fields& fields, Report& report) {
  fields.Named("stage", report.stage, kStageNames);
  fields.Optional("error", report.error);
  fields.Required("containers", report.containers);
}

std::string_view StageName(Stage stage) { return kStageNames[static_cast<size_t>(stage)]; }
std::string_view PhaseName(Phase phase) { return kPhaseNames[static_cast<size_t>(phase)]; }

}  // namespace cryopod::jobs
