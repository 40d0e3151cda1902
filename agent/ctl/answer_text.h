#pragma once

#include <string>

#include "agent/api/types.h"

// The agent's answers for people: aligned tables, sizes in MiB, durations in ms. What a stranger's
// archive brings along is shown as text and nothing more (see OneLine).
namespace cryopod::ctl {

std::string ToText(const api::CheckpointResult& result);
std::string ToText(const api::RestoreResult& result);
std::string ToText(const api::Listing& listing);
std::string ToText(const api::Inspection& inspection);
std::string ToText(const api::Verification& verification);
std::string ToText(const api::ArchiveSummary& summary);
std::string ToText(const api::NodeInfo& node);

}  // namespace cryopod::ctl
