#pragma once

#include <string>
#include <vector>

#include "agent/os/status.h"
#include "agent/terminal/console.h"
#include "agent/terminal/document.h"

namespace cryopod::ctl {

// What a command does to the node, told line by line while it is done; as a document at the end:
// {"done":[…],"warnings":[…],"left":[…]}.
class ChangeReport {
 public:
  ChangeReport(const terminal::Console& console, terminal::Form form)
      : console_(console), form_(form) {}

  void Did(const std::string& what);
  void Warn(const std::string& what);
  // Something that the person has to do; shown by Finish().
  void Leave(const std::string& what) { left_.push_back(what); }
  // `nothing` is said when nothing was done.
  Status Finish(const std::string& nothing);

 private:
  void Print(const std::string& line);

  const terminal::Console& console_;
  const terminal::Form form_;
  std::vector<std::string> done_;
  std::vector<std::string> warnings_;
  std::vector<std::string> left_;
};

}  // namespace cryopod::ctl
