#include "agent/jobs/restore_job.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/os/file.h"
#include "restore/runtime/protocol/consumed_record.h"

namespace cryopod::jobs {
namespace {

using Json = nlohmann::json;

constexpr size_t kRequestBytesMax = size_t{1} << 20;
constexpr int64_t kSecondsMax = 86'400;

enum class Presence { kRequired, kOptional };

Status BadField(const std::string& name, const std::string& why) {
  return Status(Code::kInvalidArgument, std::string(kRequestFile) + ": field " + name + " " + why);
}

Status Read(const Json& object, const char* name, std::string& value,
            Presence presence = Presence::kRequired) {
  const auto found = object.find(name);
  if (found == object.end()) {
    return presence == Presence::kRequired ? BadField(name, "is missing") : Status();
  }
  if (!found->is_string()) return BadField(name, "is no string");
  value = found->get<std::string>();
  if (presence == Presence::kRequired && value.empty()) return BadField(name, "is empty");
  return Status();
}

template <typename Duration>
Status Read(const Json& object, const char* name, Duration& value) {
  const auto found = object.find(name);
  if (found == object.end()) return Status();
  if (!found->is_number_integer()) return BadField(name, "is no integer");
  const auto number = found->get<int64_t>();
  if (number < 0 ||
      number > std::chrono::duration_cast<Duration>(std::chrono::seconds(kSecondsMax)).count()) {
    return BadField(name, "is out of range");
  }
  value = Duration(number);
  return Status();
}

Status CheckPaths(const RestoreJob& job) {
  const std::pair<const char*, const std::string*> paths[] = {
      {"store_root", &job.store_root},
      {"state_dir", &job.state_dir},
      {"unpack_program", &job.unpack_program},
      {"staging_dir", &job.staging_dir}};
  for (const auto& [name, path] : paths) {
    if (!path->starts_with('/')) return BadField(name, "is no absolute path");
  }
  return Status();
}

}  // namespace

Result<RestoreJob> ParseRestoreJob(std::string_view json) {
  const Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return Status(Code::kInvalidArgument, std::string(kRequestFile) + " is no JSON object");
  }
  RestoreJob job;
  CRYOPOD_RETURN_IF_ERROR(Read(object, "operation_id", job.operation_id));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "archive", job.archive));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "digest", job.digest, Presence::kOptional));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "pod_uid", job.pod_uid));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "pod_namespace", job.pod_namespace, Presence::kOptional));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "pod_name", job.pod_name, Presence::kOptional));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "restore_from", job.restore_from));
  CRYOPOD_RETURN_IF_ERROR(
      Read(object, "restore_operation", job.restore_operation, Presence::kOptional));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "store_root", job.store_root));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "state_dir", job.state_dir));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "unpack_program", job.unpack_program));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "criu_program", job.criu_program, Presence::kOptional));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "staging_dir", job.staging_dir));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "idle_timeout_s", job.idle_timeout));
  CRYOPOD_RETURN_IF_ERROR(Read(object, "hold_ms", job.hold));
  CRYOPOD_RETURN_IF_ERROR(CheckPaths(job));
  CRYOPOD_RETURN_IF_ERROR(wrapper::CheckComponent(job.pod_uid, "the pod UID"));
  CRYOPOD_RETURN_IF_ERROR(wrapper::CheckComponent(job.operation_id, "the operation's id"));
  return job;
}

Result<RestoreJob> ReadRestoreJob(const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(job_dir + "/" + kRequestFile, kRequestBytesMax));
  return ParseRestoreJob(text);
}

}  // namespace cryopod::jobs
