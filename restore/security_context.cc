#include "restore/security_context.h"

#include <sys/resource.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "agent/os/cgroup.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::restore {
namespace {

constexpr uint64_t kSetgid = uint64_t{1} << 6;
constexpr uint64_t kSetuid = uint64_t{1} << 7;

// Names that this program does not know count as not granted.
uint64_t CapabilityMask(const json::Value& names) {
  uint64_t mask = 0;
  for (const std::string& name : names.Texts()) {
    const std::optional<int> number = CapabilityNumber(name);
    if (number) mask |= uint64_t{1} << *number;
  }
  return mask;
}

// Source: OCI runtime-spec v1.2, config.md ("POSIX process"): names of getrlimit(2).
std::optional<int> ResourceNumber(std::string_view name) {
  static constexpr std::pair<std::string_view, int> kNames[] = {
      {"RLIMIT_CPU", RLIMIT_CPU},           {"RLIMIT_FSIZE", RLIMIT_FSIZE},
      {"RLIMIT_DATA", RLIMIT_DATA},         {"RLIMIT_STACK", RLIMIT_STACK},
      {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_RSS", RLIMIT_RSS},
      {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
      {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},   {"RLIMIT_AS", RLIMIT_AS},
      {"RLIMIT_LOCKS", RLIMIT_LOCKS},       {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
      {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
      {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},     {"RLIMIT_RTTIME", RLIMIT_RTTIME}};
  for (const auto& [known, number] : kNames) {
    if (known == name) return number;
  }
  return std::nullopt;
}

// Absent, it is 0; whole numbers that are not negative come as unsigned ones.
int SmallNumber(const json::Value& value) {
  const auto* const negative = std::get_if<int64_t>(&value.value);
  return static_cast<int>(negative != nullptr ? *negative : static_cast<int64_t>(value.Number()));
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

// The kernel's rules for an execve of `file` by a process that holds what was asked for.
uint64_t PermittedAfterExec(const CapabilitySets& before, FileCapabilities file, bool is_root,
                            bool no_new_privs) {
  constexpr uint64_t kAll = ~uint64_t{0};
  if (is_root) file = {kAll, kAll};
  uint64_t gained = (file.permitted & before.bounding) | (file.inheritable & before.inheritable);
  if (no_new_privs) gained &= before.permitted;
  // An ambient capability is one that is permitted and inheritable, else it cannot be raised.
  return gained | (before.ambient & before.permitted & before.inheritable);
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
    if (gid != context.gid && std::ranges::count(context.additional_gids, gid) == 0) {
      return TooMuch(context, "the group " + std::to_string(gid));
    }
  }
  return Status();
}

}  // namespace

SecurityContext SecurityContextOf(const json::Value& config, const FileCapabilities& program) {
  const json::Value& process = config.At("process");
  const json::Value& capabilities = process.At("capabilities");
  const json::Value& user = process.At("user");
  SecurityContext context;
  context.uid = static_cast<uint32_t>(user.At("uid").Number());
  context.gid = static_cast<uint32_t>(user.At("gid").Number());
  for (const json::Value& gid : user.At("additionalGids").Elements()) {
    const auto* const number = std::get_if<uint64_t>(&gid.value);
    if (number != nullptr) context.additional_gids.push_back(static_cast<uint32_t>(*number));
  }
  context.no_new_privs = process.At("noNewPrivileges").IsTrue();
  context.oom_score_adj = SmallNumber(process.At("oomScoreAdj"));
  for (const json::Value& limit : process.At("rlimits").Elements()) {
    const std::optional<int> number = ResourceNumber(limit.At("type").Text());
    if (number) context.hard_limits[*number] = limit.At("hard").Number();
  }
  const std::string profile = process.At("apparmorProfile").Text();
  context.lsm_label = profile.empty() ? process.At("selinuxLabel").Text() : profile;
  context.has_seccomp = !config.At("linux").At("seccomp").Members().empty();
  CapabilitySets asked;
  asked.permitted = CapabilityMask(capabilities.At("permitted"));
  asked.inheritable = CapabilityMask(capabilities.At("inheritable"));
  asked.ambient = CapabilityMask(capabilities.At("ambient"));
  asked.bounding = CapabilityMask(capabilities.At("bounding"));
  context.bounding = asked.bounding;
  context.inheritable = asked.inheritable;
  context.permitted =
      PermittedAfterExec(asked, program, /*is_root=*/context.uid == 0, context.no_new_privs);
  return context;
}

FirstProgram FirstProgramOf(const json::Value& config) {
  constexpr std::string_view kPath = "PATH=";
  const json::Value& process = config.At("process");
  const std::vector<std::string> arguments = process.At("args").Texts();
  FirstProgram program;
  if (arguments.empty()) return program;
  program.name = arguments.front();
  program.working_directory = process.At("cwd").Text();
  for (const std::string& text : process.At("env").Texts()) {
    if (!text.starts_with(kPath)) continue;
    const auto folders = Split(std::string_view(text).substr(kPath.size()), ':');
    program.folders.assign(folders.begin(), folders.end());
  }
  return program;
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
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, cgroup.LivingThreads());
  for (const pid_t thread : threads) {
    CRYOPOD_ASSIGN_OR_RETURN(const pid_t process, ReadThreadGroup(thread));
    CRYOPOD_ASSIGN_OR_RETURN(const TaskCredentials task, ReadTaskCredentials(thread));
    const Place place = process == first ? Place::kFirst : Place::kOther;
    CRYOPOD_RETURN_IF_ERROR(
        CheckCredentials(context, task, place).While("task " + std::to_string(thread)));
  }
  return Status();
}

}  // namespace cryopod::restore
