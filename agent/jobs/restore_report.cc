#include "agent/jobs/restore_report.h"

#include <array>

namespace cryopod::jobs {
namespace {

constexpr std::array<std::string_view, 6> kStageNames = {"checking", "staging", "serving",
                                                         "restored", "failed",  "abandoned"};
constexpr std::array<std::string_view, 8> kPhaseNames = {
    "waiting", "staged", "restoring", "restored", "held", "started", "failed", "coldStarted"};

}  // namespace

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
