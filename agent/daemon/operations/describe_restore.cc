#include "agent/daemon/operations/describe_restore.h"

#include <nlohmann/json.hpp>

#include "agent/jobs/checkpoint_job.h"
#include "agent/os/file.h"

namespace cryopod::daemon {
namespace {

using nlohmann::json;

constexpr size_t kRequestBytesMax = size_t{1} << 20;

}  // namespace

std::string RestoreJobJson(const settings::AgentSettings& config, const wrapper::Request& request,
                           const std::string& operation_id, const std::string& job_dir,
                           const archive::Archive& archive) {
  return json{{"operation_id", operation_id},
              {"archive", archive.name()},
              {"digest", archive.digest()},
              {"pod_uid", request.pod_uid},
              {"pod_namespace", request.pod_namespace},
              {"pod_name", request.pod_name},
              {"restore_from", request.restore_from},
              {"restore_operation", request.restore_operation},
              {"store_root", config.store_root()},
              {"state_dir", config.state_dir},
              {"unpack_program", config.unpack_program()},
              {"criu_program", config.criu_program},
              {"staging_dir", job_dir + "/" + jobs::kStagingDirectory},
              {"idle_timeout_s", config.restore_idle_timeout_s},
              {"hold_ms", config.restore_hold_ms}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<wrapper::Request> RequestOfRestoreJob(const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(job_dir + "/" + jobs::kRequestFile, kRequestBytesMax));
  const json parsed = json::parse(text, nullptr, false);
  wrapper::Request request;
  for (const auto& [name, field] :
       {std::pair{"pod_uid", &request.pod_uid}, std::pair{"restore_from", &request.restore_from},
        std::pair{"restore_operation", &request.restore_operation}}) {
    const auto found = parsed.is_object() ? parsed.find(name) : parsed.end();
    if (!parsed.is_object() || found == parsed.end() || !found->is_string()) {
      return Status(Code::kDataLoss, job_dir + ": field " + name + " is missing");
    }
    *field = found->get<std::string>();
  }
  return request;
}

}  // namespace cryopod::daemon
