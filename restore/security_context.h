#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/credentials.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// What a fresh container of the live request could come to hold: the ceiling for every process that
// an archive brings back.
//
// Shape   config.json of the bundle: process.user, process.capabilities, process.noNewPrivileges,
//         linux.seccomp. It comes from the container runtime, never from an archive.
// Source  OCI runtime-spec v1.2, config.md and config-linux.md.
struct SecurityContext {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;
  uint64_t bounding = 0;  // capabilities, bit n for number n
  uint64_t initial = 0;   // effective and permitted of the first process
  bool no_new_privs = false;
  bool has_seccomp = false;
};

// Errors: kNotFound, kDataLoss (names the field).
Result<SecurityContext> ReadSecurityContext(const std::string& bundle);
Result<SecurityContext> ParseSecurityContext(std::string_view config_json);

// May a container of `context` hold these credentials? CRIU restores users, capabilities, seccomp
// and no_new_privs from the archive's images, so whoever wrote the archive has chosen them.
// Refused: a capability outside the bounding set; no_new_privs or seccomp that the request asks for
// and the task lacks; another user or group where a process of the request could not have become
// it. Errors: kPermissionDenied, names what is too much.
Status CheckCredentials(const SecurityContext& context, const TaskCredentials& task);

// Checks every task of the cgroup. They are stopped and have not run.
Status CheckRestoredCredentials(const SecurityContext& context, const std::string& cgroup_dir);

}  // namespace cryopod::restore
