#include "agent/archive/store/manifests.h"

#include <utility>

#include "agent/archive/oci/media_types.h"

namespace cryopod::archive {

std::string LayoutIndexJson(const Descriptor& pod_index, const std::string& archive_name) {
  Descriptor descriptor;
  descriptor.media_type = kImageIndexMediaType;
  descriptor.digest = pod_index.digest;
  descriptor.size_bytes = pod_index.size_bytes;
  descriptor.artifact_type = kPodArtifactType;
  descriptor.annotations = {{kRefNameAnnotation, archive_name}};
  ImageIndex index;
  index.manifests.push_back(std::move(descriptor));
  return ToJson(index);
}

std::map<std::string, std::string> PodAnnotations(const PodCheckpoint& checkpoint) {
  const NodeFacts& node = checkpoint.node;
  std::map<std::string, std::string> annotations = {
      {kCreatedAnnotation, checkpoint.created},
      {kPodNameAnnotation, checkpoint.pod_name},
      {kPodNamespaceAnnotation, checkpoint.pod_namespace},
      {kPodUidAnnotation, checkpoint.pod_uid},
      {kPodIdAnnotation, checkpoint.sandbox_id},
      {kCriuVersionAnnotation, node.criu_version},
      {kRuntimeNameAnnotation, node.runtime_name},
      {kRuntimeVersionAnnotation, node.runtime_version},
      {kHostArchAnnotation, node.architecture},
      {kHostKernelAnnotation, node.kernel},
      {kCgroupVersionAnnotation, node.cgroup_version},
  };
  std::erase_if(annotations, [](const auto& annotation) { return annotation.second.empty(); });
  return annotations;
}

ImageManifest PodManifest(const PodCheckpoint& checkpoint, const Descriptor& config,
                          const Descriptor& metadata) {
  ImageManifest manifest;
  manifest.artifact_type = kPodArtifactType;
  manifest.config = config;
  manifest.layers = {metadata};
  manifest.annotations = PodAnnotations(checkpoint);
  return manifest;
}

ImageManifest ContainerManifest(const PodCheckpoint& checkpoint,
                                const ContainerCheckpoint& container, const ContainerLayers& layers,
                                const Descriptor& config) {
  ImageManifest manifest;
  manifest.artifact_type = kContainerArtifactType;
  manifest.config = config;
  manifest.layers = {layers.metadata, layers.criu_images};
  if (!layers.rootfs_diff.digest.empty()) manifest.layers.push_back(layers.rootfs_diff);
  manifest.annotations = layers.annotations;
  manifest.annotations[kContainerNameAnnotation] = container.name;
  manifest.annotations[kCrioNameAnnotation] = container.name;
  if (!container.image.empty()) manifest.annotations[kRootfsImageNameAnnotation] = container.image;
  manifest.annotations.merge(PodAnnotations(checkpoint));
  return manifest;
}

std::string ContainerConfigJson(const ContainerCheckpoint& container) {
  return ToJson(
      ContainerConfig{container.name, container.id, container.image, container.image_ref});
}

Result<const ContainerLayers*> FindLayers(const std::vector<ContainerLayers>& containers,
                                          const std::string& name) {
  for (const ContainerLayers& layers : containers) {
    if (layers.name == name) return &layers;
  }
  return Status(Code::kInvalidArgument, "no layers were given for container \"" + name + "\"");
}

}  // namespace cryopod::archive
