#pragma once

#include <string>
#include <string_view>

#include "agent/os/status.h"

// A container that had finished before the cut is created and started as its kubelet asks, with
// cryopod-finished in place of its own program: that would change what the others are restored
// into.
namespace cryopod::wrapper {

// Where the program is bound in the container: on the tmpfs that every container has, so that the
// image stays as it is.
inline constexpr char kFinishedPath[] = "/dev/cryopod-finished";

// The OCI configuration with `program` (a path of the node) as the process and everything else as
// it was. Pure. Errors: kDataLoss (no OCI configuration).
Result<std::string> WithProgramReplaced(std::string_view config_json, const std::string& program);

// Does it to the bundle's config.json. Errors: kNotFound (cryopod-finished is not installed), those
// of files.
Status ReplaceProgram(const std::string& bundle);

}  // namespace cryopod::wrapper
