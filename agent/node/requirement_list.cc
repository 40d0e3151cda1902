#include "agent/node/requirement_list.h"

#include <algorithm>
#include <utility>

namespace cryopod::node {

void RequirementList::Add(const char* name, std::initializer_list<const char*> stands_on,
                          const std::function<Finding()>& check) {
  for (const char* lower : stands_on) {
    if (!IsMet(lower)) {
      AddUnknown(name, std::string("cannot be seen without ") + lower);
      return;
    }
  }
  Finding finding = check();
  const auto state =
      finding.reason.empty() ? api::RequirementState::kMet : api::RequirementState::kLacking;
  requirements_.push_back({name, state, std::move(finding.found), std::move(finding.reason),
                           std::move(finding.remedy)});
}

void RequirementList::AddUnknown(const char* name, const std::string& why) {
  requirements_.push_back({name, api::RequirementState::kUnknown, "", why, ""});
}

bool RequirementList::IsMet(const std::string& name) const {
  return std::any_of(requirements_.begin(), requirements_.end(), [&name](const auto& requirement) {
    return requirement.name == name && requirement.state == api::RequirementState::kMet;
  });
}

std::vector<std::string> RequirementList::Problems() const {
  std::vector<std::string> problems;
  for (const api::Requirement& requirement : requirements_) {
    if (requirement.state != api::RequirementState::kLacking) continue;
    problems.push_back(requirement.name + ": " + requirement.reason + "; " + requirement.remedy);
  }
  return problems;
}

}  // namespace cryopod::node
