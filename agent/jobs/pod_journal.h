#pragma once

#include <string>
#include <vector>

#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::jobs {

// Operation IDs of pods that the agent itself makes through CRI begin with it; those of the
// cryopod-restore processes that serve them and others begin with "r-".
inline constexpr char kPodJobPrefix[] = "p-";

// A pod on its way through CRI: in the journal before its sandbox is made, so that the next agent
// can finish or undo what a killed one left.
//
// Shape    <jobs dir>/<operation id>/request.json, and journal.json once the sandbox is known.
struct RestoreJournal {
  std::string operation_id;       // "p-…"
  std::string restore_operation;  // the sandbox's annotation of that name: a UUID of this restore
  std::string archive;
  std::string pod_uid;
  std::string pod_namespace;
  std::string pod_name;
  std::vector<std::string> containers;
  std::string sandbox_id;  // empty: the runtime has not said it yet, and may have one all the same
  bool operator==(const RestoreJournal&) const = default;
};

std::string NewPodJobId();

// Synced when it returns. Errors: kAlreadyExists, kResourceExhausted.
Status BeginRestoreJournal(const settings::AgentSettings& config, const RestoreJournal& journal);
Status RecordSandbox(const settings::AgentSettings& config, const RestoreJournal& journal);
// Errors: kNotFound, kDataLoss (names the file).
Result<RestoreJournal> ReadRestoreJournal(const settings::AgentSettings& config,
                                          const std::string& operation_id);

}  // namespace cryopod::jobs
