#include "restore/runtime/self_check.h"

#include <cstdlib>

#include "agent/os/text.h"
#include "restore/runtime/programs.h"
#include "restore/runtime/protocol/key_values.h"
#include "restore/runtime/protocol/self_check_command.h"
#include "restore/runtime/settings.h"

namespace cryopod::wrapper {
namespace {

void AddProblem(KeyValues& answer, const Status& problem) {
  std::string& text = answer["problem"];
  text += (text.empty() ? "" : "; ") + Printable(problem.message());
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
  const Result<std::string> oci_runtime =
      FindProgram(settings->runtime, path != nullptr ? path : "");
  if (oci_runtime.ok()) {
    answer["runtime"] = *oci_runtime;
  } else {
    AddProblem(answer, oci_runtime.status());
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
                         "\nproblem=" + Printable(text.status().message()) + "\n";
}

}  // namespace cryopod::wrapper
