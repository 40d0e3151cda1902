#include "restore/runtime/self_check.h"

#include <algorithm>
#include <cstdlib>

#include "restore/runtime/programs.h"
#include "restore/runtime/protocol/key_values.h"
#include "restore/runtime/protocol/self_check_command.h"
#include "restore/runtime/settings.h"

namespace cryopod::wrapper {
namespace {

// A message may hold what a file of settings holds.
std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; },
      ' ');
  return text;
}

void AddProblem(KeyValues& answer, const Status& problem) {
  std::string& text = answer["problem"];
  text += (text.empty() ? "" : "; ") + OneLine(problem.message());
}

KeyValues Look() {
  KeyValues answer{{"program", kWrapperName}, {"version", CRYOPOD_VERSION}};
  const Result<Settings> settings = ReadSettings();
  if (!settings.ok()) {
    AddProblem(answer, settings.status());
    return answer;
  }
  answer["agent_socket"] = settings->agent_socket;
  answer["state_dir"] = settings->state_dir;
  const char* path = std::getenv("PATH");
  const Result<std::string> runtime = FindProgram(settings->runtime, path != nullptr ? path : "");
  if (runtime.ok()) {
    answer["runtime"] = *runtime;
  } else {
    AddProblem(answer, runtime.status());
  }
  const Result<std::string> launcher = FindLauncherDirectory();
  if (launcher.ok()) {
    answer["launcher"] = *launcher;
  } else {
    AddProblem(answer, launcher.status());
  }
  return answer;
}

}  // namespace

std::string SelfCheck() {
  const Result<std::string> text = FormatKeyValues(Look());
  return text.ok() ? *text
                   : std::string("program=") + kWrapperName +
                         "\nproblem=" + OneLine(text.status().message()) + "\n";
}

}  // namespace cryopod::wrapper
