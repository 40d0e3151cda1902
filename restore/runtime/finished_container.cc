#include "restore/runtime/finished_container.h"

#include <utility>

#include "agent/json/value.h"
#include "agent/os/file.h"
#include "restore/runtime/programs.h"

namespace cryopod::wrapper {
namespace {

constexpr char kConfig[] = "config.json";

}  // namespace

Result<std::string> WithProgramReplaced(std::string_view config_json, const std::string& program) {
  using json::Value;
  Result<Value> config = json::Parse(config_json);
  if (!config.ok() || config->At("process").object() == nullptr) {
    return Status(Code::kDataLoss, "config.json of the bundle is no OCI configuration");
  }
  Value::Array mounts = config->At("mounts").Elements();
  mounts.push_back(
      {Value::Object{{"destination", {kFinishedPath}},
                     {"type", {"bind"}},
                     {"source", {program}},
                     {"options", {Value::Array{{"bind"}, {"ro"}, {"nosuid"}, {"nodev"}}}}}});
  config->Make("mounts").value = std::move(mounts);
  Value& process = config->Make("process");
  process.Make("args").value = Value::Array{{kFinishedPath}};
  std::erase_if(std::get<Value::Object>(process.value),
                [](const json::Member& member) { return member.key == "commandLine"; });
  return json::Format(*config);
}

Status ReplaceProgram(const std::string& bundle) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string program, FindFinishedProgram());
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(bundle));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string config, ReadFileAt(dir.get(), kConfig).While(bundle));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string replaced, WithProgramReplaced(config, program));
  return WriteFileAtomically(dir.get(), kConfig, replaced);
}

}  // namespace cryopod::wrapper
