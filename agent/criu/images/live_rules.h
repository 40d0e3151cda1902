#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/criu/remade_mounts.h"
#include "agent/json/fields.h"
#include "agent/os/seccomp_filters.h"
#include "agent/os/status.h"

namespace cryopod {
void Describe(json::Fields& fields, SeccompFilter& filter);
}  // namespace cryopod

namespace cryopod::criu {

// A mount as a fresh container has it.
struct RuledMount {
  std::string mount_point;  // in the container, as mountinfo shows it
  uint32_t flags = 0;       // MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, those that it has
  // It may forbid more than that: what the runtime makes beneath it is not known one by one.
  bool at_least = false;
  bool operator==(const RuledMount&) const = default;
};

// A device node as a fresh container has it.
struct RuledDevice {
  bool is_block = false;
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t mode = 0666;  // permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool operator==(const RuledDevice&) const = default;
};

inline constexpr uint32_t kAnyDevice = UINT32_MAX;

// A rule of the device cgroup. Source: OCI runtime-spec v1.2, config-linux.md, "Allowed Device
// list".
struct DeviceRule {
  bool allow = false;
  std::string type;  // "c", "b"; "a" or empty: both
  uint32_t major = kAnyDevice;
  uint32_t minor = kAnyDevice;
  std::string access;  // of "rwm"; empty: all
  bool operator==(const DeviceRule&) const = default;
};

// What a fresh container of the live request would hold, for the images of the one that is restored
// in its place. Made by whoever reads the live configuration; what an archive says in it can take
// nothing from what the live request forbids.
struct LiveRules {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // supplementary
  // Capabilities, bit n for number n: what the exec of the container's program leaves.
  uint64_t bounding = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  bool no_new_privs = false;
  std::vector<SeccompFilter> seccomp_filters;  // the oldest first
  // The archive says that the oldest filter of each chain is its runtime's: it goes for the live
  // ones. The same profile does not always give the same program.
  bool replaces_filter = false;
  // Processes that are not the first may have executed a set-id program: up to the bounding set.
  bool allows_set_id = false;
  int32_t oom_score_adj = 0;
  std::vector<uint64_t> hard_limits;  // by the number of the resource (RLIMIT_*)
  std::string lsm_label;              // AppArmor profile or SELinux label; empty: none
  // Why stop signals will hold what is restored, after which a process would run that was stopped
  // at the cut; empty: nothing will wake it.
  std::string wakes_stopped;
  std::vector<RuledMount> mounts;
  std::vector<RuledDevice> devices;
  std::vector<DeviceRule> device_rules;  // the later ones count
  std::vector<RemadeMount> remade;

  bool operator==(const LiveRules&) const = default;
};

void Describe(json::Fields& fields, RemadeMount& mount);
void Describe(json::Fields& fields, RuledMount& mount);
void Describe(json::Fields& fields, RuledDevice& device);
void Describe(json::Fields& fields, DeviceRule& rule);
void Describe(json::Fields& fields, LiveRules& rules);

inline constexpr size_t kLiveRulesBytesMax = size_t{16} << 20;

// As text, for a process that takes nothing else. Errors: kDataLoss, names the key.
std::string FormatLiveRules(const LiveRules& rules);
Result<LiveRules> ParseLiveRules(std::string_view text);

}  // namespace cryopod::criu
