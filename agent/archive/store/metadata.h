#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agent/archive/oci/descriptor.h"
#include "agent/archive/store/archive_store.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Files of a metadata layer, of a container as of the pod, together.
inline constexpr uint64_t kMetadataBytesMax = uint64_t{16} << 20;
inline constexpr uint64_t kMetadataFilesMax = 256;

// Name → content of a metadata layer (`ContainerParts::metadata` or `Archive::pod_metadata`): the
// blob is verified, read by cryopod-unpack, and what that says is checked again.
//
// Shape   container: config.dump spec.dump status.dump network.status stats-dump dump.log
//         container-config.json; pod: pod.dump pod.options. None of them is guaranteed to be there.
// Errors  kDataLoss, kResourceExhausted (above the limits), kDeadlineExceeded.
Result<std::map<std::string, std::string>> ReadMetadata(const std::string& unpack_program,
                                                        const Archive& archive,
                                                        const Descriptor& descriptor,
                                                        Deadline deadline);

}  // namespace cryopod::archive
