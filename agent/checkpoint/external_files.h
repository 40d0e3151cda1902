#pragma once

#include <string>
#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/checkpoint/resolve_pod.h"
#include "agent/checkpoint/unrestorable.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Files that the container's processes hold open, have mapped or as their directory, on mounts that
// an archive does not carry: volumes that outlive the pod, and those that are left out. A restore
// needs them at the same place, so they are named before it. At most archive::kExternalFilesMax.

// As /proc shows them in the container's `processes`; sizes are not looked at. The pod may run.
std::vector<archive::ExternalFile> FindExternalFiles(const DumpTarget& target,
                                                     const std::vector<SeenProcess>& processes);

// Those of the cut, out of the images of a dump that has ended.
Result<std::vector<archive::ExternalFile>> ReadExternalFiles(const DumpTarget& target,
                                                             int images_dir_fd);

// Adds a sentence for each, printable: "container web: /data/db (on /srv/data of the node)".
void NameExternalFiles(const std::string& container,
                       const std::vector<archive::ExternalFile>& files,
                       std::vector<std::string>& names);

}  // namespace cryopod::checkpoint
