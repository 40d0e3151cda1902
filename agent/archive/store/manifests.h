#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/archive/oci/descriptor.h"
#include "agent/archive/oci/oci_json.h"
#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/archive/store/archive_writer.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// The documents of one archive, pure: which manifest says what.

// Content of index.json: one descriptor, the pod's index, under the archive's name.
std::string LayoutIndexJson(const Descriptor& pod_index, const std::string& archive_name);

// The org.criu.checkpoint annotations that hold for the pod and so for each of its manifests.
std::map<std::string, std::string> PodAnnotations(const PodCheckpoint& checkpoint);

ImageManifest PodManifest(const PodCheckpoint& checkpoint, const Descriptor& config,
                          const Descriptor& metadata);
ImageManifest ContainerManifest(const PodCheckpoint& checkpoint,
                                const ContainerCheckpoint& container, const ContainerLayers& layers,
                                const Descriptor& config);
std::string ContainerConfigJson(const ContainerCheckpoint& container);

// The layers of the container `name`. Errors: kInvalidArgument, names the container.
Result<const ContainerLayers*> FindLayers(const std::vector<ContainerLayers>& containers,
                                          const std::string& name);

}  // namespace cryopod::archive
