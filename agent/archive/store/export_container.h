#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/archive/tar/layer_entry.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// One container as the kubelet's/CRI-O's uncompressed checkpoint tar, which checkpointctl reads:
// config.dump, spec.dump, status.dump, network.status?, stats-dump, dump.log, checkpoint/…,
// rootfs-diff.tar, deleted.files. Runs cryopod-unpack for what it has to read.
// Errors: kNotFound (no such container; lists the names).
Status ExportContainerTar(const Archive& archive, const std::string& container,
                          const std::string& unpack_program, const std::string& scratch_dir,
                          const ByteSink& sink, Deadline deadline);

}  // namespace cryopod::archive
