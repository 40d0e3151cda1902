#pragma once

#include <string>
#include <vector>

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

}  // namespace cryopod::ctl
