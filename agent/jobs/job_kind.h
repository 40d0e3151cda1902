#pragma once

#include <array>
#include <string>
#include <string_view>

#include "agent/json/fields.h"
#include "agent/os/status.h"

namespace cryopod::jobs {

enum class JobKind {
  kCheckpoint,
  kRestore,  // of a pod whose runtime asks for it: a cryopod-restore
  kPod,      // of a pod that the agent itself makes through CRI; its runtime asks for a kRestore
};
inline constexpr std::array<std::string_view, 3> kJobKinds = {"checkpoint", "restore", "pod"};

// The member "kind" of a request that has it; another one is an error.
void DescribeKind(json::Fields& fields, JobKind kind);

// "c-20261124-221502-1a2b3c4d": kind, UTC time, chance.
std::string NewOperationId(JobKind kind);
// What a caller may choose: letters, digits and '-', at most 64. Errors: kInvalidArgument.
Status CheckOperationId(const std::string& id);

}  // namespace cryopod::jobs
