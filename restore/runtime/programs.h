#pragma once

#include <string>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::wrapper {

// The programs around the wrapper.

// `name` is a path, or a name looked up in PATH (empty: the usual system directories). A file that
// is this very program is passed over, however it is linked.
// Errors: kNotFound, names the program and where it was looked for.
Result<std::string> FindProgram(const std::string& name);

// The directory that holds our launcher named criu: ../libexec/cryopod/launcher beside this
// program. Errors: kNotFound, names the path.
Result<std::string> FindLauncherDirectory();

// ../libexec/cryopod/cryopod-finished beside this program. Errors: kNotFound, names the path.
Result<std::string> FindFinishedProgram();

// Replaces this process. Returns only when that failed.
Status Execute(const std::string& program, const std::vector<std::string>& arguments);

}  // namespace cryopod::wrapper
