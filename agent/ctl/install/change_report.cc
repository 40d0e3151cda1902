#include "agent/ctl/install/change_report.h"

#include <nlohmann/json.hpp>

#include "agent/terminal/text.h"

namespace cryopod::ctl {

void ChangeReport::Did(const std::string& what) {
  done_.push_back(what);
  Print(what);
}

void ChangeReport::Warn(const std::string& what) {
  warnings_.push_back(what);
  Print("warning: " + what);
}

void ChangeReport::Leave(const std::string& what) { left_.push_back(what); }

Status ChangeReport::Finish(const std::string& nothing) {
  if (as_json_) {
    const nlohmann::json answer = {{"done", done_}, {"warnings", warnings_}, {"left", left_}};
    return terminal::PrintAnswer(
        console_, answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
  if (done_.empty()) Print(nothing);
  if (!left_.empty()) Print("\nLeft for you:");
  for (const std::string& what : left_) Print("  " + what);
  return Status();
}

void ChangeReport::Print(const std::string& line) {
  // The change is made; that nobody reads of it must not leave it half made.
  if (!as_json_) {
    const std::string start = line.starts_with('\n') ? "\n" : "";
    (void)terminal::PrintAnswer(console_,
                                start + terminal::OneLine(line.substr(start.size())) + "\n")
        .ok();
  }
}

}  // namespace cryopod::ctl
