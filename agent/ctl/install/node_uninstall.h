#pragma once

#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/node_paths.h"
#include "agent/os/status.h"

namespace cryopod::ctl {

struct UninstallOptions {
  bool purge = false;   // archives, consumed records and logs go too
  bool restart = true;  // containerd, where systemd runs it
};

// Undoes what InstallNode() has done, from the end: a containerd configuration that nobody has
// changed since gets the bytes it had, another one loses our import only; files of ours that
// somebody has changed are kept beside their place as NAME.saved. Ends the agent. The prefix stays.
//
// Errors: kAborted (operations run), kUnavailable (operations were left by an agent that does not
// run), kDataLoss (a damaged record).
Status UninstallNode(const NodePaths& paths, const UninstallOptions& options, ChangeReport& report);

// Only the recorded changes.
Status UndoChanges(const NodePaths& paths, ChangeReport& report);

}  // namespace cryopod::ctl
