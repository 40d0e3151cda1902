#include "restore/runtime/finished_container.h"

#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/os/file.h"
#include "restore/runtime/programs.h"

namespace cryopod::wrapper {
namespace {

using Json = nlohmann::json;

constexpr char kConfig[] = "config.json";

}  // namespace

Result<std::string> WithProgramReplaced(std::string_view config_json, const std::string& program) {
  Json config = Json::parse(config_json, nullptr, /*allow_exceptions=*/false);
  const bool has_process =
      config.is_object() && config.contains("process") && config["process"].is_object();
  if (!has_process) {
    return Status(Code::kDataLoss, "config.json of the bundle is no OCI configuration");
  }
  Json& mounts = config["mounts"];
  if (!mounts.is_array()) mounts = Json::array();
  mounts.push_back({{"destination", kFinishedPath},
                    {"type", "bind"},
                    {"source", program},
                    {"options", {"bind", "ro", "nosuid", "nodev"}}});
  Json& process = config["process"];
  process["args"] = {kFinishedPath};
  process.erase("commandLine");
  return config.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status ReplaceProgram(const std::string& bundle) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string program, FindFinishedProgram());
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(bundle));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string config, ReadFileAt(dir.get(), kConfig).While(bundle));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string replaced, WithProgramReplaced(config, program));
  return WriteFileAtomically(dir.get(), kConfig, replaced);
}

}  // namespace cryopod::wrapper
