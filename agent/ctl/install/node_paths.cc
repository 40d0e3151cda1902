#include "agent/ctl/install/node_paths.h"

#include <unistd.h>

#include "agent/os/proc.h"

namespace cryopod::ctl {

Result<NodePaths> ThisInstallation() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string program, ReadProcLink(::getpid(), "exe"));
  const size_t bin = program.rfind("/bin/");
  if (bin == std::string::npos || program.find('/', bin + 5) != std::string::npos) {
    return Status(Code::kFailedPrecondition,
                  program + " lies in no installation; run the cryopodctl of one");
  }
  NodePaths paths;
  paths.prefix = program.substr(0, bin);
  return paths;
}

Status ReadAgentSettings(NodePaths& paths) {
  const Status read =
      settings::ReadSettingsFile(settings::AgentProgram(paths.agent, ""), paths.settings_file());
  return read.code() == Code::kNotFound ? Status() : read;
}

}  // namespace cryopod::ctl
