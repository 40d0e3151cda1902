#include "restore/security_context.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

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

std::string Describe(const SecurityContext& context) {
  std::string text =
      "user " + std::to_string(context.uid) + ", group " + std::to_string(context.gid);
  if (context.no_new_privs) text += ", no_new_privs";
  if (context.has_seccomp) text += ", seccomp";
  return text;
}

Status TooMuch(const SecurityContext& context, const std::string& what) {
  return Status(Code::kPermissionDenied,
                "a process of the archive has " + what +
                    ", which the new pod's security context does not allow (it asks for " +
                    Describe(context) +
                    "); give the pod the context that was checkpointed, or checkpoint it under the "
                    "stricter one",
                Reason::kSecurityContext);
}

struct AskedSets {
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  uint64_t ambient = 0;
  uint64_t bounding = 0;
};

// The kernel's rules for an execve of `file` by a process that holds what was asked for.
uint64_t PermittedAfterExec(const AskedSets& before, FileCapabilities file, bool is_root,
                            bool no_new_privs) {
  constexpr uint64_t kAll = ~uint64_t{0};
  if (is_root) file = {kAll, kAll};
  uint64_t gained = (file.permitted & before.bounding) | (file.inheritable & before.inheritable);
  if (no_new_privs) gained &= before.permitted;
  // An ambient capability is one that is permitted and inheritable, else it cannot be raised.
  return gained | (before.ambient & before.permitted & before.inheritable);
}

bool IsOneOf(uint32_t number, const std::vector<uint32_t>& list) {
  return std::find(list.begin(), list.end(), number) != list.end();
}

Status CheckCapabilities(const SecurityContext& context, const CapabilitySets& sets,
                         uint64_t may_hold) {
  const auto too_much = [&context](uint64_t beyond, const char* set) {
    return TooMuch(context, FirstCapabilityName(beyond) + set);
  };
  if (const uint64_t beyond = (sets.permitted | sets.effective | sets.ambient) & ~may_hold) {
    return too_much(beyond, "");
  }
  if (const uint64_t beyond = sets.bounding & ~context.bounding) {
    return too_much(beyond, " in its bounding set");
  }
  // Whoever holds a capability may make it inheritable.
  if (const uint64_t beyond = sets.inheritable & ~(may_hold | context.inheritable)) {
    return too_much(beyond, " in its inheritable set");
  }
  return Status();
}

Status CheckIds(const SecurityContext& context, const TaskCredentials& task, uint64_t may_hold) {
  for (const uint32_t uid : task.uids) {
    if (uid != context.uid && (may_hold & kSetuid) == 0) {
      return TooMuch(context, "the user " + std::to_string(uid));
    }
  }
  if ((may_hold & kSetgid) != 0) return Status();
  std::vector<uint32_t> gids = task.groups;
  gids.insert(gids.end(), std::begin(task.gids), std::end(task.gids));
  for (const uint32_t gid : gids) {
    if (gid != context.gid && !IsOneOf(gid, context.additional_gids)) {
      return TooMuch(context, "the group " + std::to_string(gid));
    }
  }
  return Status();
}

std::string TextOf(const json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

}  // namespace

Result<SecurityContext> ParseSecurityContext(std::string_view config_json,
                                             const FileCapabilities& program) {
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
  const json& no_new_privs = Member(process, "noNewPrivileges");
  context.no_new_privs = no_new_privs.is_boolean() && no_new_privs.get<bool>();
  context.has_seccomp = !Member(Member(config, "linux"), "seccomp").empty();
  const AskedSets asked{CapabilityMask(Member(capabilities, "permitted")),
                        CapabilityMask(Member(capabilities, "inheritable")),
                        CapabilityMask(Member(capabilities, "ambient")),
                        CapabilityMask(Member(capabilities, "bounding"))};
  context.bounding = asked.bounding;
  context.inheritable = asked.inheritable;
  context.permitted =
      PermittedAfterExec(asked, program, /*is_root=*/context.uid == 0, context.no_new_privs);
  return context;
}

FirstProgram ParseFirstProgram(std::string_view config_json) {
  constexpr std::string_view kPath = "PATH=";
  const json config = json::parse(config_json, nullptr, /*allow_exceptions=*/false);
  const json& process = Member(config, "process");
  const json& arguments = Member(process, "args");
  FirstProgram program;
  if (!arguments.is_array() || arguments.empty()) return program;
  program.name = TextOf(arguments.front());
  program.working_directory = TextOf(Member(process, "cwd"));
  for (const json& variable : Member(process, "env")) {
    const std::string text = TextOf(variable);
    if (!text.starts_with(kPath)) continue;
    program.folders.clear();
    for (const std::string_view folder : Split(std::string_view(text).substr(kPath.size()), ':')) {
      program.folders.emplace_back(folder);
    }
  }
  return program;
}

Result<SecurityContext> ReadSecurityContext(const std::string& bundle, const std::string& rootfs) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(bundle + "/config.json", kConfigBytesMax));
  return ParseSecurityContext(text, CapabilitiesOfProgram(rootfs, ParseFirstProgram(text)));
}

Status CheckCredentials(const SecurityContext& context, const TaskCredentials& task, Place place) {
  uint64_t may_hold = context.permitted;
  if (place == Place::kOther && !context.no_new_privs) may_hold |= context.bounding;
  CRYOPOD_RETURN_IF_ERROR(CheckCapabilities(context, task.capabilities, may_hold));
  if (context.no_new_privs && !task.no_new_privs) return TooMuch(context, "no no_new_privs");
  if (context.has_seccomp && task.seccomp_mode == 0) return TooMuch(context, "no seccomp filter");
  return CheckIds(context, task, may_hold);
}

Status CheckRestoredCredentials(const SecurityContext& context, const std::string& cgroup_dir,
                                pid_t first) {
  CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::Open(cgroup_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, cgroup.Threads());
  for (const pid_t thread : threads) {
    const Result<ProcessInfo> info = ReadProcessInfo(thread);
    if (info.ok() && info->state == 'Z') continue;  // it runs nothing any more
    CRYOPOD_ASSIGN_OR_RETURN(const pid_t process, ReadThreadGroup(thread));
    CRYOPOD_ASSIGN_OR_RETURN(const TaskCredentials task, ReadTaskCredentials(thread));
    const Place place = process == first ? Place::kFirst : Place::kOther;
    CRYOPOD_RETURN_IF_ERROR(
        CheckCredentials(context, task, place).While("task " + std::to_string(thread)));
  }
  return Status();
}

}  // namespace cryopod::restore
