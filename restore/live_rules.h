#pragma once

#include "agent/criu/images/live_rules.h"
#include "restore/mounts/live_mounts.h"
#include "restore/runtime/protocol/messages.h"
#include "restore/security_context.h"

namespace cryopod::restore {

// The OCI runtime has told which seccomp filters they are, where the request asks for one. Errors:
// kFailedPrecondition, says why it has not.
Status CheckLiveFilters(const SecurityContext& context, const wrapper::Request& request);

// What CRIU's images may hold, from the live request alone: its security context, the mounts as a
// fresh container has them, and the hard limits that it would inherit.
criu::LiveRules LiveRulesOf(const SecurityContext& context, const LiveMounts& live,
                            const wrapper::Request& request);

}  // namespace cryopod::restore
