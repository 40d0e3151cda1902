#include "agent/os/text.h"
#include "restore/runtime/programs.h"
#include "restore/runtime/protocol/key_values.h"
#include "restore/runtime/protocol/self_check_command.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {
namespace {

// Adds a member, or to the problems why it is not known.
void Add(const std::string& key, const Result<std::string>& value, KeyValues& answer) {
  if (value.ok()) {
    answer[key] = *value;
    return;
  }
  std::string& problem = answer["problem"];
  problem += (problem.empty() ? "" : "; ") + Printable(value.status().message());
}

KeyValues Look() {
  KeyValues answer{{"program", kWrapperName}, {"version", CRYOPOD_VERSION}};
  const Result<Settings> settings = ReadSettings();
  if (!settings.ok()) {
    Add("settings", settings.status(), answer);
    return answer;
  }
  answer["agent_socket"] = settings->agent_socket;
  answer["state_dir"] = settings->state_dir;
  Add("runtime", FindProgram(settings->runtime), answer);
  Add("launcher", FindLauncherDirectory(), answer);
  return answer;
}

}  // namespace

std::string SelfCheck() {
  const Result<std::string> text = FormatKeyValues(Look());
  return text.ok() ? *text
                   : std::string("program=") + kWrapperName +
                         "\nproblem=" + Printable(text.status().message()) + "\n";
}

}  // namespace cryopod::wrapper
