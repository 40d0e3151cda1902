#include "restore/live_rules.h"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <string>

#include "agent/criu/container_state.h"
#include "restore/runtime/protocol/differences.h"

namespace cryopod::restore {
namespace {

// The values of ST_* and MS_* are the same.
static_assert(int{ST_RDONLY} == int{MS_RDONLY} && int{ST_NOSUID} == int{MS_NOSUID});
constexpr unsigned long kFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

uint32_t FlagsOfWhatLiesAt(const std::string& path) {
  struct statvfs facts {};
  return ::statvfs(path.c_str(), &facts) == 0 ? static_cast<uint32_t>(facts.f_flag & kFlags) : 0;
}

std::vector<criu::RuledMount> RuledMounts(const LiveMounts& live) {
  std::vector<criu::RuledMount> rules;
  rules.push_back(
      {"/", FlagsOfWhatLiesAt(live.rootfs) | (live.read_only_root ? MS_RDONLY : 0), false});
  for (const std::string& path : live.read_only_paths) {
    rules.push_back({criu::ResolveInRootfs(live.rootfs, path), MS_RDONLY, /*at_least=*/true});
  }
  for (const LiveMount& mount : live.mounts) {
    // Of version 1 it is a tmpfs with a mount for each hierarchy, whose flags differ.
    if (mount.type == "cgroup") continue;
    auto flags = static_cast<uint32_t>(mount.flags);
    if (mount.keeps_flags) flags |= FlagsOfWhatLiesAt(mount.source);
    rules.push_back({MountPointOf(live, mount), flags, false});
  }
  return rules;
}

// What an OCI runtime makes in every container, besides what the request names.
// Source: OCI runtime-spec v1.2, config-linux.md, "Default Devices": null, zero, full, random,
// urandom and tty.
std::vector<criu::RuledDevice> RuledDevices(const LiveMounts& live) {
  std::vector<criu::RuledDevice> devices = {{.major = 1, .minor = 3}, {.major = 1, .minor = 5},
                                            {.major = 1, .minor = 7}, {.major = 1, .minor = 8},
                                            {.major = 1, .minor = 9}, {.major = 5, .minor = 0}};
  for (const LiveDevice& device : live.devices) {
    devices.push_back(
        {device.is_block, device.major, device.minor, device.mode, device.uid, device.gid});
  }
  return devices;
}

// The runtime allows terminals and tun whatever the request's rules say. Source: runc 1.3,
// libcontainer/specconv/spec_linux.go (AllowedDevices).
std::vector<criu::DeviceRule> DeviceRules(const LiveMounts& live) {
  std::vector<criu::DeviceRule> rules = live.device_rules;
  rules.push_back({true, "c", 5, 2, "rwm"});
  rules.push_back({true, "c", 136, criu::kAnyDevice, "rwm"});
  rules.push_back({true, "c", 10, 200, "rwm"});
  return rules;
}

}  // namespace

Status CheckLiveFilters(const SecurityContext& context, const wrapper::Request& request) {
  if (!context.has_seccomp || !request.seccomp_filters.empty()) return Status();
  return Status(Code::kFailedPrecondition,
                "the new pod's seccomp filter is not known, so that nothing can be put under it: " +
                    (request.seccomp_failure.empty() ? "cryopod-runtime is older than this agent"
                                                     : request.seccomp_failure),
                Reason::kSecurityContext);
}

criu::LiveRules LiveRulesOf(const SecurityContext& context, const LiveMounts& live,
                            const wrapper::Request& request) {
  criu::LiveRules rules;
  rules.uid = context.uid;
  rules.gid = context.gid;
  rules.groups = context.additional_gids;
  rules.bounding = context.bounding;
  rules.permitted = context.permitted;
  rules.inheritable = context.inheritable;
  rules.no_new_privs = context.no_new_privs;
  rules.seccomp_filters = request.seccomp_filters;
  // One that cannot be read was refused before.
  const auto differences = wrapper::ParseDifferences(request.differences);
  rules.allows_set_id = differences.ok() && differences->contains(wrapper::Difference::kSetId);
  rules.oom_score_adj = context.oom_score_adj;
  rules.lsm_label = context.lsm_label;
  rules.hard_limits = request.hard_limits;
  rules.hard_limits.resize(RLIM_NLIMITS, RLIM_INFINITY);
  for (const auto& [number, hard] : context.hard_limits) {
    rules.hard_limits[static_cast<size_t>(number)] = hard;
  }
  rules.mounts = RuledMounts(live);
  rules.devices = RuledDevices(live);
  rules.device_rules = DeviceRules(live);
  return rules;
}

}  // namespace cryopod::restore
