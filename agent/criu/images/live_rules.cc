#include "agent/criu/images/live_rules.h"

#include <array>

namespace cryopod {

void Describe(json::Fields& fields, SeccompFilter& filter) {
  fields.Required("program", filter.program);
  fields.Required("flags", filter.flags);
  fields.AtMost("program", filter.program.size(), kFilterInstructionsMax);
}

}  // namespace cryopod

namespace cryopod::criu {
namespace {

// A pod's limit of volumes is far below, masked and read-only paths are some twenty.
constexpr size_t kMountsMax = 10000;
constexpr size_t kDevicesMax = 10000;
constexpr size_t kGroupsMax = 65536;  // NGROUPS_MAX
constexpr size_t kResourcesMax = 64;
constexpr json::Limits kLimits{.bytes_max = kLiveRulesBytesMax};

const char* AbsolutePath(std::string_view text) {
  return text.starts_with('/') ? nullptr : "is no absolute path";
}

}  // namespace

void Describe(json::Fields& fields, RemadeMount& mount) {
  static constexpr std::array<std::string_view, 3> kKinds = {"file", "subPath", "volume"};
  fields.Named("kind", mount.kind, kKinds);
  fields.Required("mount_point", mount.mount_point, AbsolutePath);
}

void Describe(json::Fields& fields, RuledMount& mount) {
  fields.Required("mount_point", mount.mount_point, AbsolutePath);
  fields.Required("flags", mount.flags);
  fields.Required("at_least", mount.at_least);
}

void Describe(json::Fields& fields, RuledDevice& device) {
  fields.Required("is_block", device.is_block);
  fields.Required("major", device.major);
  fields.Required("minor", device.minor);
  fields.Required("mode", device.mode);
  fields.Required("uid", device.uid);
  fields.Required("gid", device.gid);
}

void Describe(json::Fields& fields, DeviceRule& rule) {
  fields.Required("allow", rule.allow);
  fields.Required("type", rule.type);
  fields.Required("major", rule.major);
  fields.Required("minor", rule.minor);
  fields.Required("access", rule.access);
}

void Describe(json::Fields& fields, LiveRules& rules) {
  fields.Required("uid", rules.uid);
  fields.Required("gid", rules.gid);
  fields.Required("groups", rules.groups);
  fields.Required("bounding", rules.bounding);
  fields.Required("permitted", rules.permitted);
  fields.Required("inheritable", rules.inheritable);
  fields.Required("no_new_privs", rules.no_new_privs);
  fields.Required("seccomp_filters", rules.seccomp_filters);
  fields.Required("replaces_filter", rules.replaces_filter);
  fields.Required("allows_set_id", rules.allows_set_id);
  fields.Required("oom_score_adj", rules.oom_score_adj);
  fields.Required("hard_limits", rules.hard_limits);
  fields.Required("lsm_label", rules.lsm_label);
  fields.Optional("wakes_stopped", rules.wakes_stopped);
  fields.Required("mounts", rules.mounts);
  fields.Required("devices", rules.devices);
  fields.Required("device_rules", rules.device_rules);
  fields.Required("remade", rules.remade);
  fields.AtMost("groups", rules.groups.size(), kGroupsMax);
  fields.AtMost("hard_limits", rules.hard_limits.size(), kResourcesMax);
  fields.AtMost("seccomp_filters", rules.seccomp_filters.size(), kSeccompFiltersMax);
  fields.AtMost("mounts", rules.mounts.size(), kMountsMax);
  fields.AtMost("devices", rules.devices.size(), kDevicesMax);
  fields.AtMost("device_rules", rules.device_rules.size(), kDevicesMax);
  fields.AtMost("remade", rules.remade.size(), kMountsMax);
}

std::string FormatLiveRules(const LiveRules& rules) { return json::Write(rules); }

Result<LiveRules> ParseLiveRules(std::string_view text) {
  LiveRules rules;
  CRYOPOD_RETURN_IF_ERROR(json::Read(text, "live rules", rules, kLimits));
  return rules;
}

}  // namespace cryopod::criu
