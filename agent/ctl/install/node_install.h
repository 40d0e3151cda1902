#pragma once

#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/node_paths.h"
#include "agent/os/status.h"

namespace cryopod::ctl {

struct InstallOptions {
  bool restart = true;  // containerd, where systemd runs it and its configuration changed
};

// Makes this node use the cryopod in `paths.prefix`: the system user of the gateway, containerd's
// drop-in and its import, units where systemd runs. Each change is recorded before it is made, so
// that UninstallNode() undoes exactly this, also after a kill. What is as it should be stays as it
// is. Nothing is changed when containerd's configuration does not take the drop-in.
//
// Errors: kFailedPrecondition (with the remedy), kAlreadyExists (a file of that name is somebody
// else's), kInvalidArgument (the prefix; a configuration that cannot be read), kPermissionDenied.
Status InstallNode(const NodePaths& paths, const InstallOptions& options, ChangeReport& report);

}  // namespace cryopod::ctl
