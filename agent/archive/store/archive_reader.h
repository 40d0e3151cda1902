#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"

namespace cryopod::archive {

inline constexpr char kIndexName[] = "index.json";
inline constexpr char kLayoutName[] = "oci-layout";
inline constexpr char kBlobsName[] = "blobs/sha256";

// Content of index.json: one descriptor, the pod's index, under the archive's name.
std::string LayoutIndexJson(const Descriptor& pod_index, const std::string& archive_name);

// Opens the image layout in `layout_dir_fd` (borrowed) as the archive `name` and checks its
// structure as `Archive` says. Nothing may lie in it that does not belong to it.
// Errors: kDataLoss (which blob, which member), kUnimplemented (newer schema, unknown layers).
Result<Archive> OpenLayout(int layout_dir_fd, const std::string& name);

// The pod's index that index.json names, for a layout that another tool wrote: everything beside
// that one descriptor is ignored. Errors: kDataLoss.
Result<Descriptor> ReadForeignIndex(int layout_dir_fd);

// A blob by its digest, a regular file of the stated size. Errors: kDataLoss, names the digest.
Result<UniqueFd> OpenBlobAt(int layout_dir_fd, const Descriptor& descriptor);
// The content of one that is parsed: read whole, its digest checked.
Result<std::string> ReadJsonBlobAt(int layout_dir_fd, const Descriptor& descriptor);

}  // namespace cryopod::archive
