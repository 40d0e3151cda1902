#include "agent/daemon/config.h"

#include <unistd.h>

namespace cryopod::daemon {

Result<std::string> ReadConfig(int argc, const char* const* argv, settings::AgentSettings& config) {
  CRYOPOD_ASSIGN_OR_RETURN(
      const std::string answer,
      settings::ReadCommandLine(settings::AgentProgram(config, CRYOPOD_VERSION), argc, argv));
  if (config.libexec_dir.empty()) config.libexec_dir = settings::LibexecBesideUs();
  return answer;
}

Status CheckConfig(const settings::AgentSettings& config) {
  for (const std::string& program :
       {config.checkpoint_program(), config.restore_program(), config.unpack_program()}) {
    if (::access(program.c_str(), X_OK) != 0) {
      return Status(Code::kNotFound,
                    program +
                        " is missing; install the whole of cryopod into one prefix,"
                        " or name its folder with --libexec-dir");
    }
  }
  return Status();
}

}  // namespace cryopod::daemon
