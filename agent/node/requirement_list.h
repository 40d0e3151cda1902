#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "agent/api/requirement.h"

namespace cryopod::node {

// What a check has seen of one requirement.
struct Finding {
  std::string found;
  std::string reason;  // empty: the requirement is met
  std::string remedy;

  static Finding Met(std::string found) { return {std::move(found), "", ""}; }
  static Finding Lacking(std::string found, std::string reason, std::string remedy) {
    return {std::move(found), std::move(reason), std::move(remedy)};
  }
};

// Requirements in the order in which they were looked at. One that stands on another which is not
// met is not looked at, so that one cause is named once and not with all that follows from it.
class RequirementList {
 public:
  // `stands_on` have been added before.
  void Add(const char* name, std::initializer_list<const char*> stands_on,
           const std::function<Finding()>& check);
  // One that nobody can look at from here.
  void AddUnknown(const char* name, const std::string& why);

  bool IsMet(const std::string& name) const;
  // "criu: CRIU 3.17 is too old; install 4.1 or newer", for each that is lacking.
  std::vector<std::string> Problems() const;
  const std::vector<api::Requirement>& all() const { return requirements_; }

 private:
  std::vector<api::Requirement> requirements_;
};

}  // namespace cryopod::node
