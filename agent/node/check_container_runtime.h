#pragma once

#include <string>

#include "agent/node/requirement_list.h"
#include "cri/runtime_client.h"

// What the container runtime that runs says of itself. Pure.
namespace cryopod::node {

inline constexpr char kHandler[] = "cryopod";

Finding CheckRuntimeVersion(const cri::RuntimeVersion& version);
Finding CheckSnapshotter(const cri::RuntimeConfiguration& configuration);
Finding CheckHandler(const cri::RuntimeConfiguration& configuration);
// The annotations that ask for a restore, and the one that tells a restart from a start.
Finding CheckAnnotations(const cri::RuntimeConfiguration& configuration);

// Whether the pattern of an annotation lets `annotation` pass, as Go's path.Match does: '*' and '?'
// stand for no '/'.
bool Passes(const std::string& pattern, const std::string& annotation);

}  // namespace cryopod::node
