#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod {

// Capability sets as bit masks, bit n for capability number n.
struct CapabilitySets {
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t effective = 0;
  uint64_t bounding = 0;
  uint64_t ambient = 0;

  uint64_t all() const { return inheritable | permitted | effective | bounding | ambient; }
  bool operator==(const CapabilitySets&) const = default;
};

// What one task may do, as the kernel says. Source: proc_pid_status(5).
struct TaskCredentials {
  uint32_t uids[4] = {};  // real, effective, saved, file system
  uint32_t gids[4] = {};
  std::vector<uint32_t> groups;  // supplementary
  CapabilitySets capabilities;
  bool no_new_privs = false;
  int seccomp_mode = 0;  // 0 none, 1 strict, 2 filter

  bool operator==(const TaskCredentials&) const = default;
};

// Errors: kNotFound when there is no such task.
Result<TaskCredentials> ReadTaskCredentials(pid_t task);
Result<TaskCredentials> ParseTaskCredentials(std::string_view status_text);

// "CAP_NET_ADMIN" → 12; nothing for a name that this program does not know.
// Source: capabilities(7), <linux/capability.h>.
std::optional<int> CapabilityNumber(std::string_view name);
// The lowest capability of a mask that is not empty, by name.
std::string FirstCapabilityName(uint64_t mask);

}  // namespace cryopod
