#pragma once

#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/installation.h"
#include "agent/ctl/install/node_paths.h"
#include "agent/os/status.h"

namespace cryopod::ctl {

// Undoes one recorded change; one that was never made, or is undone already, is a success.
Status UndoChange(const NodePaths& paths, const Change& change, ChangeReport& report);

}  // namespace cryopod::ctl
