#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"

namespace cryopod::archive {

inline constexpr char kIndexName[] = "index.json";
inline constexpr char kLayoutName[] = "oci-layout";
inline constexpr char kBlobsName[] = "blobs/sha256";

// Content of index.json: one descriptor, the pod's index, under the archive's name.
std::string LayoutIndexJson(const Descriptor& pod_index, const std::string& archive_name,
                            Origin origin = Origin::kThisNode);

// Opens the image layout in `layout_dir_fd` (borrowed) as the archive `name` and checks its
// structure as `Archive` says. Nothing may lie in it that does not belong to it.
// Errors: kDataLoss (which blob, which member), kUnimplemented (newer schema, unknown layers).
Result<Archive> OpenLayout(int layout_dir_fd, const std::string& name);

// The same, and every document in it must be canonical (json::Format): what a stranger wrote is
// told so from what this program writes. Errors: as of OpenLayout.
Status CheckForeignLayout(int layout_dir_fd, const std::string& name);

// The pod's index that index.json names, whoever wrote it: everything beside that one descriptor is
// ignored. Errors: kDataLoss.
Result<Descriptor> ReadLayoutIndex(int layout_dir_fd);

// A blob by its digest, a regular file of the stated size. Errors: kDataLoss, names the digest.
Result<UniqueFd> OpenBlobAt(int layout_dir_fd, const Descriptor& descriptor);
// The content of one that is parsed: read whole, its digest checked.
Result<std::string> ReadJsonBlobAt(int layout_dir_fd, const Descriptor& descriptor);

}  // namespace cryopod::archive
