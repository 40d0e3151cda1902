#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/json/value.h"
#include "agent/os/proc.h"
#include "agent/os/status.h"
#include "restore/first_program.h"

namespace cryopod::restore {

// What a fresh container of the live request could come to hold: the ceiling for every process that
// an archive brings back.
//
// Shape   config.json of the bundle: process (user, capabilities, noNewPrivileges, args,
//         oomScoreAdj, rlimits, apparmorProfile, selinuxLabel), linux.seccomp. It comes from the
//         container runtime, never from an archive.
// Source  OCI runtime-spec v1.2, config.md and config-linux.md; runc 1.3,
//         libcontainer/init_linux.go (finalizeNamespace: the sets are applied as the last thing
//         before the exec); capabilities(7), "Transformation of capabilities during execve()".
struct SecurityContext {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;
  uint64_t bounding = 0;  // capabilities, bit n for number n
  // What the exec of the container's own program leaves; effective and ambient are no more than
  // permitted. A user other than root keeps the ambient set and what the program's file adds.
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  bool no_new_privs = false;
  bool has_seccomp = false;
  int oom_score_adj = 0;
  std::map<int, uint64_t> hard_limits;  // those that the request sets, by RLIMIT_*
  std::string lsm_label;                // AppArmor profile or SELinux label
};

// With `program`, what the file adds that the request executes.
SecurityContext SecurityContextOf(const json::Value& config, const FileCapabilities& program);
// Empty where the configuration names none.
FirstProgram FirstProgramOf(const json::Value& config);

// Which process of a container a task belongs to.
enum class Place {
  kFirst,  // the one that the runtime executed
  kOther,  // may have executed a set-id program
};

// May a container of `context` hold these credentials? CRIU restores users, groups, capabilities,
// seccomp and no_new_privs from the archive's images, so whoever wrote the archive has chosen them.
//
// The first process may hold what the exec left; others, as long as no_new_privs does not prevent
// it, as much as the bounding set. Another user or group is allowed where that includes the right
// to become it. no_new_privs and seccomp must be there where the request asks for them. Securebits
// cannot be read from outside, and add to no set. Errors: kPermissionDenied, names what is too much
// and what the request asks for.
Status CheckCredentials(const SecurityContext& context, const TaskCredentials& task, Place place);

// Checks every task of the cgroup, those of `first` as the first process. They are stopped and have
// not run.
Status CheckRestoredCredentials(const SecurityContext& context, const std::string& cgroup_dir,
                                pid_t first);

}  // namespace cryopod::restore
