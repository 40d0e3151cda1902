#pragma once

#include <string>

#include "restore/runtime/arguments.h"

namespace cryopod::wrapper {

// Says why the runtime's call fails, where its caller looks for it: as the last line of the file of
// --log (JSON when --log-format says so), which containerd puts into the pod's event word for word.
// Without --log it is the caller's stderr, as with the OCI runtime. Returns the exit code, 1.
int Fail(const Arguments& arguments, const std::string& reason);

// The last error that the OCI runtime wrote into the file of --log, or "".
std::string ReadLastError(const Arguments& arguments);

}  // namespace cryopod::wrapper
