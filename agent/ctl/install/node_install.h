#pragma once

#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/node_paths.h"
#include "agent/os/status.h"

namespace cryopod::ctl {

struct InstallOptions {
  bool restart = true;  // containerd, where systemd runs it and its configuration changed
  bool purge = false;   // archives, consumed records, operations and logs go with the rest
};

// Makes this node use the cryopod in `paths.prefix`: the system user of the gateway, what
// cryopod-runtime has to know, containerd's drop-in and its import, units where systemd runs. Each
// change is recorded before it is made, so that UninstallNode() undoes exactly this, also after a
// kill. What is as it should be stays as it is. Nothing is changed when containerd's configuration
// does not take the drop-in. `paths.agent` counts where cryopod.toml is silent.
//
// Errors: kFailedPrecondition (with the remedy), kAlreadyExists (a file of that name is somebody
// else's), kInvalidArgument (the prefix; a configuration that cannot be read), kPermissionDenied.
Status InstallNode(NodePaths paths, const InstallOptions& options, ChangeReport& report);

// Undoes what InstallNode() has done, from the end: a containerd configuration that nobody has
// changed since gets the bytes it had, another one loses our import only; files of ours that
// somebody has changed are kept beside their place as NAME.saved. Ends the agent. The prefix stays.
// Refuses before it has stopped anything.
//
// Errors: kAborted (operations run), kUnavailable (operations were left by an agent that does not
// run), kDataLoss (a damaged record), kInvalidArgument (cryopod.toml).
Status UninstallNode(NodePaths paths, const InstallOptions& options, ChangeReport& report);

}  // namespace cryopod::ctl
