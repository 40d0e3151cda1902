#pragma once

#include <string>
#include <vector>

#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/node_paths.h"
#include "agent/os/status.h"

// The node's own programs that an installation calls: getent, useradd, systemctl and their like,
// found in PATH.
namespace cryopod::ctl {

// Runs one to its end, at most two minutes. Errors: kNotFound (no such program),
// kFailedPrecondition (it failed; with its last words).
Status RunProgram(const std::vector<std::string>& argv);
// The same, with what it has written. A failure's output is in the error only.
Result<std::string> ReadProgram(const std::vector<std::string>& argv);

// `database` is "passwd" or "group". Errors: as RunProgram, when nothing can be said.
Result<bool> HasEntry(const std::string& database, const std::string& name);

// Where it is `wanted` and systemd runs containerd; elsewhere it is left to the person, so that
// `aim`.
Status RestartContainerd(const NodePaths& paths, bool wanted, const std::string& aim,
                         ChangeReport& report);

}  // namespace cryopod::ctl
