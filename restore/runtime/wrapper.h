#pragma once

#include <string>
#include <vector>

#include "restore/runtime/arguments.h"
#include "restore/runtime/settings.h"

namespace cryopod::wrapper {

// One call of the wrapper.
struct Call {
  Arguments arguments;
  Settings settings;
  std::string oci_runtime;  // path of the program: runc or crun
};

// Does what `arguments` (without argv[0]) ask: nearly always that is to become the OCI runtime.
// The returned number is the exit code where it did not.
int RunWrapper(std::vector<std::string> arguments);

// Becomes the OCI runtime with the same arguments; returns only when that failed.
int PassThrough(const Call& call);

// `create`: a restore when the bundle asks for one that is not consumed.
int Create(const Call& call);
// `start`: of a restored container it lets the processes run, everything else passes through.
int Start(const Call& call);
// `delete`: tells the agent about a restored container that was never started.
int Delete(const Call& call);

}  // namespace cryopod::wrapper
