#include "agent/jobs/restore_report.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "agent/jobs/restore_job.h"
#include "agent/os/file.h"

namespace cryopod::jobs {
namespace {

using Json = nlohmann::json;

constexpr size_t kStateBytesMax = size_t{4} << 20;

constexpr std::array<std::string_view, 6> kStageNames = {"checking", "staging", "serving",
                                                         "restored", "failed",  "abandoned"};
constexpr std::array<std::string_view, 8> kPhaseNames = {
    "waiting", "staged", "restoring", "restored", "held", "started", "failed", "coldStarted"};
constexpr int kCodeMax = static_cast<int>(Code::kUnauthenticated);

template <typename Enum, size_t size>
std::optional<Enum> FromName(const std::array<std::string_view, size>& names,
                             const std::string& name) {
  for (size_t i = 0; i < size; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

Code CodeFromName(const std::string& name) {
  for (int number = 0; number <= kCodeMax; ++number) {
    if (CodeName(CodeFromNumber(number)) == name) return CodeFromNumber(number);
  }
  return Code::kUnknown;
}

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Reason ReasonOf(const Json& object, const char* key) {
  const std::string word = Text(object, key);
  return word.empty() ? Reason::kNone : ReasonFromName(word);
}

template <typename Number>
Number Integer(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<Number>() : Number{0};
}

Json ToObject(const ContainerReport& container) {
  return {{"name", container.name},
          {"id", container.id},
          {"state", PhaseName(container.phase)},
          {"reason", container.reason},
          {"reason_code", ReasonName(container.reason_code)},
          {"pid", container.pid},
          {"start_time_ticks", container.start_time_ticks},
          {"state_dir", container.state_dir},
          {"rootfs", container.rootfs},
          {"cgroup_dir", container.cgroup_dir},
          {"uts_path", container.uts_path},
          {"hostname", container.hostname}};
}

Result<ContainerReport> FromObject(const Json& object) {
  const std::optional<Phase> phase =
      object.is_object() ? FromName<Phase>(kPhaseNames, Text(object, "state")) : std::nullopt;
  if (!phase.has_value()) {
    return Status(Code::kDataLoss,
                  std::string(kStateFile) + " holds a container of no known state");
  }
  ContainerReport container;
  container.name = Text(object, "name");
  container.id = Text(object, "id");
  container.phase = *phase;
  container.reason = Text(object, "reason");
  container.reason_code = ReasonOf(object, "reason_code");
  container.pid = Integer<pid_t>(object, "pid");
  container.start_time_ticks = Integer<uint64_t>(object, "start_time_ticks");
  container.state_dir = Text(object, "state_dir");
  container.rootfs = Text(object, "rootfs");
  container.cgroup_dir = Text(object, "cgroup_dir");
  container.uts_path = Text(object, "uts_path");
  container.hostname = Text(object, "hostname");
  return container;
}

}  // namespace

std::string_view StageName(Stage stage) { return kStageNames[static_cast<size_t>(stage)]; }
std::string_view PhaseName(Phase phase) { return kPhaseNames[static_cast<size_t>(phase)]; }

std::string ToJson(const Report& report) {
  Json object = {{"stage", StageName(report.stage)}, {"containers", Json::array()}};
  if (!report.error.ok()) {
    object["error"] = {{"code", CodeName(report.error.code())},
                       {"message", report.error.message()},
                       {"reason", ReasonName(report.error.reason())}};
  }
  for (const ContainerReport& container : report.containers) {
    object["containers"].push_back(ToObject(container));
  }
  // A reason may hold bytes of a log.
  return object.dump(2, ' ', false, Json::error_handler_t::replace);
}

Result<Report> ParseReport(std::string_view json) {
  const Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  const std::optional<Stage> stage =
      object.is_object() ? FromName<Stage>(kStageNames, Text(object, "stage")) : std::nullopt;
  const Json containers = stage.has_value() ? object.value("containers", Json()) : Json();
  if (!containers.is_array()) {
    return Status(Code::kDataLoss, std::string(kStateFile) + " is no report of a restore");
  }
  Report report;
  report.stage = *stage;
  const auto error = object.find("error");
  if (error != object.end() && error->is_object()) {
    report.error = Status(CodeFromName(Text(*error, "code")), Text(*error, "message"),
                          ReasonOf(*error, "reason"));
  }
  for (const Json& entry : containers) {
    CRYOPOD_ASSIGN_OR_RETURN(ContainerReport container, FromObject(entry));
    report.containers.push_back(std::move(container));
  }
  return report;
}

Result<Report> ReadReport(const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(job_dir + "/" + kStateFile, kStateBytesMax));
  return ParseReport(text);
}

Status WriteReport(int job_dir_fd, const Report& report) {
  return WriteFileAtomically(job_dir_fd, kStateFile, ToJson(report));
}

}  // namespace cryopod::jobs
