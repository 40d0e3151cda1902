#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/daemon/operations/agent_parts.h"
#include "agent/jobs/pod_journal.h"

namespace cryopod::daemon {

// The operation that makes the pod of this journal.
OperationFacts FactsOf(const jobs::PodJournal& journal);

// The runtime may go on with a call whose caller was killed, or gave up. So long a sandbox that it
// has not told yet may still turn up, and a container whose restore is consumed may still be
// started.
inline constexpr std::chrono::seconds kAftermath{5};

// The sandbox of the pod that is made by the operation of this journal, where the runtime has one:
// it carries the restore's own annotation. Errors: of ListPodSandboxes.
Result<std::optional<cri::PodSandbox>> FindSandbox(const AgentParts& agent,
                                                   const jobs::PodJournal& journal);

// At start-up: begins to settle what RestorePod calls of an agent that is gone have left in the
// runtime, by the journals of these operations; one that is not understood is left alone. A pod
// that was restored as a whole is kept, any other is stopped and removed. Nothing is ever touched
// but what FindSandbox finds. Of what is not kept, `end_restore` ends what still works for it.
//
// Threads  the one that it returns, which asks the runtime again until all is settled. What is not
//          settled at its end is left to the next agent. The end lasts as long as one call of the
//          runtime that is under way.
using EndRestore = std::function<void(const std::string& restore_operation)>;
std::jthread SettleHalfMadePods(const AgentParts& agent,
                                const std::vector<std::string>& operation_ids,
                                EndRestore end_restore);

}  // namespace cryopod::daemon
