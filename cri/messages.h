#pragma once

#include "agent/os/status.h"
#include "cri/pod_sandbox.h"

namespace runtime::v1 {
class ContainerStatusResponse;
class PodSandbox;
class PodSandboxStatusResponse;
}  // namespace runtime::v1

namespace cryopod::cri {

// CRI's messages as value types. Errors: kInternal (a verbose answer of another shape).
PodSandbox FromMessage(const runtime::v1::PodSandbox& message);
Result<PodSandbox> FromMessage(const runtime::v1::PodSandboxStatusResponse& message);
Result<Container> FromMessage(const runtime::v1::ContainerStatusResponse& message);

}  // namespace cryopod::cri
