#include "restore/security_context.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"

namespace cryopod::restore {
namespace {

using nlohmann::json;

constexpr size_t kConfigBytesMax = size_t{8} << 20;
constexpr uint64_t kSetgid = uint64_t{1} << 6;
constexpr uint64_t kSetuid = uint64_t{1} << 7;

// An absent member is an empty object: the OCI specification leaves nearly all of them out.
const json& Member(const json& object, const char* name) {
  static const json kEmpty = json::object();
  if (!object.is_object()) return kEmpty;
  const auto found = object.find(name);
  return found != object.end() && !found->is_null() ? *found : kEmpty;
}

// Names that this program does not know count as not granted.
uint64_t CapabilityMask(const json& names) {
  uint64_t mask = 0;
  if (!names.is_array()) return mask;
  for (const json& name : names) {
    if (!name.is_string()) continue;
    const std::optional<int> number = CapabilityNumber(name.get_ref<const std::string&>());
    if (number) mask |= uint64_t{1} << *number;
  }
  return mask;
}

uint32_t IdOf(const json& user, const char* name) {
  const json& id = Member(user, name);
  return id.is_number_unsigned() ? id.get<uint32_t>() : 0;
}

Status TooMuch(const std::string& what) {
  return Status(
      Code::kPermissionDenied,
      "a process of the archive has " + what +
          ", which the new pod's security context does not allow; give the pod the context"
          " that was checkpointed, or checkpoint it under the stricter one",
      Reason::kSecurityContext);
}

// A process could have changed its user or group by itself, or by executing a set-id file.
bool CouldChange(const SecurityContext& context, uint64_t capability) {
  if ((context.initial & capability) != 0) return true;
  return !context.no_new_privs && (context.bounding & capability) != 0;
}

}  // namespace

Result<SecurityContext> ParseSecurityContext(std::string_view config_json) {
  const json config = json::parse(config_json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object() || !Member(config, "process").is_object()) {
    return Status(Code::kDataLoss, "config.json of the bundle is no OCI configuration");
  }
  const json& process = Member(config, "process");
  const json& capabilities = Member(process, "capabilities");
  const json& user = Member(process, "user");
  SecurityContext context;
  context.uid = IdOf(user, "uid");
  context.gid = IdOf(user, "gid");
  for (const json& gid : Member(user, "additionalGids")) {
    if (gid.is_number_unsigned()) context.additional_gids.push_back(gid.get<uint32_t>());
  }
  context.bounding = CapabilityMask(Member(capabilities, "bounding"));
  context.initial = CapabilityMask(Member(capabilities, "effective")) |
                    CapabilityMask(Member(capabilities, "permitted"));
  const json& no_new_privs = Member(process, "noNewPrivileges");
  context.no_new_privs = no_new_privs.is_boolean() && no_new_privs.get<bool>();
  context.has_seccomp = !Member(Member(config, "linux"), "seccomp").empty();
  return context;
}

Result<SecurityContext> ReadSecurityContext(const std::string& bundle) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(bundle + "/config.json", kConfigBytesMax));
  return ParseSecurityContext(text);
}

Status CheckCredentials(const SecurityContext& context, const TaskCredentials& task) {
  const uint64_t beyond = task.capabilities.all() & ~context.bounding;
  if (beyond != 0) return TooMuch(FirstCapabilityName(beyond));
  if (context.no_new_privs && !task.no_new_privs) return TooMuch("no no_new_privs");
  if (context.has_seccomp && task.seccomp_mode == 0) return TooMuch("no seccomp filter");
  for (const uint32_t uid : task.uids) {
    if (uid != context.uid && !CouldChange(context, kSetuid)) {
      return TooMuch("the user " + std::to_string(uid));
    }
  }
  for (const uint32_t gid : task.gids) {
    const auto& more = context.additional_gids;
    const bool named = gid == context.gid || std::find(more.begin(), more.end(), gid) != more.end();
    if (!named && !CouldChange(context, kSetgid)) {
      return TooMuch("the group " + std::to_string(gid));
    }
  }
  return Status();
}

Status CheckRestoredCredentials(const SecurityContext& context, const std::string& cgroup_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::Open(cgroup_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, cgroup.Threads());
  for (const pid_t thread : threads) {
    const Result<ProcessInfo> info = ReadProcessInfo(thread);
    if (info.ok() && info->state == 'Z') continue;  // it runs nothing any more
    CRYOPOD_ASSIGN_OR_RETURN(const TaskCredentials task, ReadTaskCredentials(thread));
    CRYOPOD_RETURN_IF_ERROR(
        CheckCredentials(context, task).While("task " + std::to_string(thread)));
  }
  return Status();
}

}  // namespace cryopod::restore
