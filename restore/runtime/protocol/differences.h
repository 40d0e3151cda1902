#pragma once

#include <set>
#include <string>
#include <string_view>

#include "agent/os/status.h"

namespace cryopod::wrapper {

// In what the request of a new pod is held against the pod that was checkpointed, by the names that
// the annotation cryopod.dev/differences allows.
enum class Difference {
  kImage,             // "image": another content
  kCommand,           // "command": the arguments of the first process
  kWorkingDirectory,  // "working-directory"
  kSetId,             // "setuid": processes hold what a set-id program gave them
};

std::string_view DifferenceName(Difference difference);

// Names with commas between, blanks around them are ignored; none is no difference.
// Errors: kInvalidArgument, names the unknown one and those that there are.
Result<std::set<Difference>> ParseDifferences(std::string_view annotation);

}  // namespace cryopod::wrapper
