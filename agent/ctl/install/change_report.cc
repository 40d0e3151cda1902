#include "agent/ctl/install/change_report.h"

#include "agent/json/fields.h"
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

Status ChangeReport::Finish(const std::string& nothing) {
  if (IsDocument(form_)) {
    const json::Value answer{json::Value::Object{{"done", json::Fields::ToValue(done_)},
                                                 {"warnings", json::Fields::ToValue(warnings_)},
                                                 {"left", json::Fields::ToValue(left_)}}};
    return terminal::PrintAnswer(console_,
                                 terminal::FormatDocument(form_, json::Format(answer, 2) + "\n"));
  }
  if (done_.empty()) Print(nothing);
  if (!left_.empty()) (void)terminal::PrintAnswer(console_, "\nLeft for you:\n").ok();
  for (const std::string& what : left_) Print("  " + what);
  return Status();
}

// The change is made; that nobody reads of it must not leave it half made.
void ChangeReport::Print(const std::string& line) {
  if (!IsDocument(form_))
    (void)terminal::PrintAnswer(console_, terminal::OneLine(line) + "\n").ok();
}

}  // namespace cryopod::ctl
