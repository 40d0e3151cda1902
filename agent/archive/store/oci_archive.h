#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/archive/tar/layer_entry.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// The whole archive as one oci-archive tar (skopeo's "oci-archive:FILE:NAME"). Blobs are hashed on
// the way; a damaged one ends the export with kDataLoss before the tar's end marker.
Status ExportOciArchive(const Archive& archive, const ByteSink& sink);

// A tar written by ExportOciArchive (or by skopeo) becomes the archive `name`. Everything is
// verified before it is visible. Errors: kAlreadyExists, kDataLoss, kInvalidArgument.
Result<Archive> ImportOciArchive(const ArchiveStore& store, const std::string& name, int tar_fd,
                                 const std::string& unpack_program, Deadline deadline);

}  // namespace cryopod::archive
