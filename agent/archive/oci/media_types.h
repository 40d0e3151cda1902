#pragma once

// Media types and annotation keys of a checkpoint archive.
//
// Source  OCI image-spec v1.1 (manifest.md, image-index.md, annotations.md); the names under
//         org.criu.checkpoint are checkpointctl's (lib/annotations.go), those of CRI-O its own.
namespace cryopod::archive {

inline constexpr char kImageIndexMediaType[] = "application/vnd.oci.image.index.v1+json";
inline constexpr char kImageManifestMediaType[] = "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kImageLayerZstdMediaType[] = "application/vnd.oci.image.layer.v1.tar+zstd";

inline constexpr char kPodArtifactType[] = "application/vnd.cryopod.pod.checkpoint.v1";
inline constexpr char kContainerArtifactType[] = "application/vnd.cryopod.container.checkpoint.v1";
inline constexpr char kPodConfigMediaType[] =
    "application/vnd.cryopod.pod.checkpoint.config.v1+json";
inline constexpr char kContainerConfigMediaType[] =
    "application/vnd.cryopod.container.checkpoint.config.v1+json";
inline constexpr char kMetadataLayerMediaType[] =
    "application/vnd.cryopod.checkpoint.metadata.v1.tar+zstd";
inline constexpr char kCriuImagesLayerMediaType[] =
    "application/vnd.cryopod.checkpoint.criu.v1.tar+zstd";

inline constexpr char kRefNameAnnotation[] = "org.opencontainers.image.ref.name";
// Of index.json in this node's store alone: the archive was not written here.
inline constexpr char kImportedAnnotation[] = "dev.cryopod.archive.imported";
inline constexpr char kCreatedAnnotation[] = "org.opencontainers.image.created";
inline constexpr char kContainerNameAnnotation[] = "org.criu.checkpoint.container.name";
inline constexpr char kPodNameAnnotation[] = "org.criu.checkpoint.pod.name";
inline constexpr char kPodNamespaceAnnotation[] = "org.criu.checkpoint.pod.namespace";
inline constexpr char kPodUidAnnotation[] = "org.criu.checkpoint.pod.uid";
inline constexpr char kPodIdAnnotation[] = "org.criu.checkpoint.pod.id";
inline constexpr char kEngineNameAnnotation[] = "org.criu.checkpoint.engine.name";
inline constexpr char kCriuVersionAnnotation[] = "org.criu.checkpoint.criu.version";
inline constexpr char kRuntimeNameAnnotation[] = "org.criu.checkpoint.runtime.name";
inline constexpr char kRuntimeVersionAnnotation[] = "org.criu.checkpoint.runtime.version";
inline constexpr char kHostArchAnnotation[] = "org.criu.checkpoint.host.arch";
inline constexpr char kHostKernelAnnotation[] = "org.criu.checkpoint.host.kernel";
inline constexpr char kCgroupVersionAnnotation[] = "org.criu.checkpoint.cgroup.version";
inline constexpr char kRootfsImageNameAnnotation[] = "org.criu.checkpoint.rootfsImageName";
inline constexpr char kCrioNameAnnotation[] = "io.kubernetes.cri-o.annotations.checkpoint.name";

}  // namespace cryopod::archive
