#include "agent/archive/store/archive_reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <set>
#include <utility>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/sha256.h"
#include "agent/json/value.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

// A file that is not there, or is something else, is damage; an open that failed for want of
// descriptors is not.
Status AsDamage(const Status& status) {
  const Code code = status.code();
  const bool damage = code == Code::kNotFound || code == Code::kInvalidArgument ||
                      code == Code::kFailedPrecondition;
  return Status(damage ? Code::kDataLoss : code, status.message());
}

// oci-layout and index.json.
Result<std::string> ReadLayoutFile(int dir_fd, const char* name) {
  Result<UniqueFd> file = OpenBeneath(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file.ok()) return AsDamage(file.status());
  Result<std::string> text = ReadAll(file->get(), json::Limits().bytes_max);
  if (!text.ok()) return Status(Code::kDataLoss, text.status().message()).While(name);
  return text;
}

}  // namespace

// Fills an Archive from a layout, from index.json down, and remembers every blob on the way.
class ArchiveReader {
 public:
  // `canonical`: documents that are not are refused.
  ArchiveReader(std::string name, bool canonical) : canonical_(canonical) {
    archive_.name_ = std::move(name);
  }

  Result<Archive> Read(int layout_dir_fd) {
    CRYOPOD_ASSIGN_OR_RETURN(archive_.layout_dir_,
                             OpenAt(layout_dir_fd, ".", O_RDONLY | O_DIRECTORY));
    CRYOPOD_ASSIGN_OR_RETURN(const Descriptor pod_index, ReadTop());
    archive_.digest_ = pod_index.digest;
    CRYOPOD_RETURN_IF_ERROR(ReadPodIndex(pod_index).While("pod index " + pod_index.digest));
    CRYOPOD_RETURN_IF_ERROR(CheckContainers());
    CRYOPOD_RETURN_IF_ERROR(CheckNothingElse());
    return std::move(archive_);
  }

 private:
  // oci-layout and index.json are covered by no digest: they must be what this store writes.
  Result<Descriptor> ReadTop() {
    const int dir_fd = archive_.layout_dir_.get();
    CRYOPOD_ASSIGN_OR_RETURN(const std::string layout, ReadLayoutFile(dir_fd, kLayoutName));
    CRYOPOD_ASSIGN_OR_RETURN(Descriptor pod_index, ReadLayoutIndex(dir_fd));
    CRYOPOD_ASSIGN_OR_RETURN(const std::string index, ReadLayoutFile(dir_fd, kIndexName));
    const bool imported = pod_index.annotations.contains(kImportedAnnotation);
    archive_.origin_ = imported ? Origin::kImported : Origin::kThisNode;
    if (layout != kLayoutJson ||
        index != LayoutIndexJson(pod_index, archive_.name_, archive_.origin_)) {
      return Status(Code::kDataLoss, "index.json and oci-layout are not what this store writes");
    }
    return pod_index;
  }

  Result<std::string> ReadJsonBlob(const Descriptor& descriptor) {
    CRYOPOD_RETURN_IF_ERROR(AddBlob(descriptor));
    CRYOPOD_ASSIGN_OR_RETURN(std::string text,
                             ReadJsonBlobAt(archive_.layout_dir_.get(), descriptor));
    if (!canonical_) return text;
    CRYOPOD_ASSIGN_OR_RETURN(const json::Value document,
                             json::Parse(text).While("blob " + descriptor.digest));
    if (json::Format(document) == text) return text;
    return Status(Code::kDataLoss,
                  "blob " + descriptor.digest +
                      " is no document as cryopod writes them: copy archives with tools that keep "
                      "manifests as they are, as `skopeo copy --all` does");
  }

  Status AddBlob(const Descriptor& descriptor) {
    const auto [known, is_new] = blobs_.emplace(descriptor.digest, descriptor.size_bytes);
    if (!is_new && known->second != descriptor.size_bytes) {
      return Status(Code::kDataLoss, "blob " + descriptor.digest + " is named with two sizes");
    }
    if (!is_new) return Status();
    archive_.size_bytes_ += descriptor.size_bytes;
    archive_.blobs_.push_back(descriptor);
    return Status();
  }

  Status AddLayer(const Descriptor& descriptor) {
    CRYOPOD_RETURN_IF_ERROR(AddBlob(descriptor));
    return OpenBlobAt(archive_.layout_dir_.get(), descriptor).status();
  }

  Status ReadPodIndex(const Descriptor& descriptor) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadJsonBlob(descriptor));
    CRYOPOD_ASSIGN_OR_RETURN(const ImageIndex index, Parse<ImageIndex>(text, "pod index"));
    if (index.artifact_type != kPodArtifactType) {
      return Status(Code::kDataLoss, "artifactType: not " + std::string(kPodArtifactType));
    }
    for (const Descriptor& manifest : index.manifests) {
      CRYOPOD_RETURN_IF_ERROR(ReadManifest(manifest).While("manifest " + manifest.digest));
    }
    if (!archive_.pod_metadata_.digest.empty()) return Status();
    return Status(Code::kDataLoss, "holds no manifest of the pod");
  }

  Status ReadManifest(const Descriptor& descriptor) {
    if (descriptor.media_type != kImageManifestMediaType) {
      return Status(Code::kDataLoss, "mediaType: \"" + JsonEscape(descriptor.media_type) +
                                         "\" is no image manifest");
    }
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadJsonBlob(descriptor));
    CRYOPOD_ASSIGN_OR_RETURN(const ImageManifest manifest, Parse<ImageManifest>(text, "manifest"));
    if (manifest.artifact_type == kPodArtifactType) return ReadPod(manifest);
    if (manifest.artifact_type == kContainerArtifactType) return ReadContainer(manifest);
    return Status(Code::kUnimplemented,
                  "artifactType: \"" + JsonEscape(manifest.artifact_type) + "\" is unknown");
  }

  Status ReadPod(const ImageManifest& manifest) {
    if (!archive_.pod_metadata_.digest.empty()) {
      return Status(Code::kDataLoss, "a second manifest of the pod");
    }
    if (manifest.config.media_type != kPodConfigMediaType) {
      return Status(Code::kDataLoss, "config: mediaType: not that of a pod checkpoint");
    }
    CRYOPOD_ASSIGN_OR_RETURN(const std::string config, ReadJsonBlob(manifest.config));
    CRYOPOD_ASSIGN_OR_RETURN(archive_.checkpoint_, ParsePodCheckpoint(config));
    if (manifest.layers.size() != 1 || manifest.layers[0].media_type != kMetadataLayerMediaType) {
      return Status(Code::kDataLoss, "layers: not one metadata layer");
    }
    archive_.pod_metadata_ = manifest.layers[0];
    return AddLayer(archive_.pod_metadata_);
  }

  Status ReadContainer(const ImageManifest& manifest) {
    if (manifest.config.media_type != kContainerConfigMediaType) {
      return Status(Code::kDataLoss, "config: mediaType: not that of a container checkpoint");
    }
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadJsonBlob(manifest.config));
    CRYOPOD_ASSIGN_OR_RETURN(const ContainerConfig config, Parse<ContainerConfig>(text, "config"));
    ContainerParts parts;
    parts.name = config.name;
    for (const Descriptor& layer : manifest.layers) {
      CRYOPOD_ASSIGN_OR_RETURN(Descriptor* const place, PlaceOf(layer, &parts));
      if (!place->digest.empty()) {
        return Status(Code::kDataLoss, "layers: \"" + layer.media_type + "\" stands twice");
      }
      *place = layer;
      CRYOPOD_RETURN_IF_ERROR(AddLayer(layer));
    }
    if (parts.metadata.digest.empty() || parts.criu_images.digest.empty()) {
      return Status(Code::kDataLoss, "layers: metadata or CRIU images are missing");
    }
    archive_.containers_.push_back(std::move(parts));
    return Status();
  }

  // Whoever ignored a layer that it does not know would restore something else than was dumped.
  static Result<Descriptor*> PlaceOf(const Descriptor& layer, ContainerParts* parts) {
    if (layer.media_type == kMetadataLayerMediaType) return &parts->metadata;
    if (layer.media_type == kCriuImagesLayerMediaType) return &parts->criu_images;
    if (layer.media_type == kImageLayerZstdMediaType) return &parts->rootfs_diff;
    return Status(Code::kUnimplemented, "layers: mediaType: \"" + JsonEscape(layer.media_type) +
                                            "\" is unknown; use a newer cryopod");
  }

  Status CheckContainers() const {
    const auto& described = archive_.checkpoint_.containers;
    if (described.size() != archive_.containers_.size()) {
      return Status(Code::kDataLoss, "the checkpoint describes " +
                                         std::to_string(described.size()) +
                                         " containers, the index holds " +
                                         std::to_string(archive_.containers_.size()));
    }
    for (size_t i = 0; i < described.size(); ++i) {
      if (described[i].name == archive_.containers_[i].name) continue;
      return Status(Code::kDataLoss, "container " + std::to_string(i) + " is \"" +
                                         described[i].name + "\" in the checkpoint and \"" +
                                         JsonEscape(archive_.containers_[i].name) +
                                         "\" in the index");
    }
    return Status();
  }

  Status CheckNames(const char* dir_name, const std::set<std::string>& expected) const {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenBeneath(archive_.layout_dir_.get(), dir_name,
                                                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> names, ListDirectory(dir.get()));
    for (const DirectoryEntry& name : names) {
      if (expected.contains(name.name)) continue;
      return Status(Code::kDataLoss, std::string(dir_name) + "/" + JsonEscape(name.name) +
                                         " does not belong to the archive");
    }
    return Status();
  }

  Status CheckNothingElse() const {
    std::set<std::string> blob_names;
    for (const auto& [digest, size_bytes] : blobs_) blob_names.insert(DigestHex(digest));
    CRYOPOD_RETURN_IF_ERROR(CheckNames(".", {kLayoutName, kIndexName, "blobs"}));
    CRYOPOD_RETURN_IF_ERROR(CheckNames("blobs", {"sha256"}));
    return CheckNames(kBlobsName, blob_names);
  }

  const bool canonical_;
  Archive archive_;
  std::map<std::string, uint64_t> blobs_;
};

std::string LayoutIndexJson(const Descriptor& pod_index, const std::string& archive_name,
                            Origin origin) {
  ImageIndex index;
  index.manifests = {{.media_type = kImageIndexMediaType,
                      .digest = pod_index.digest,
                      .size_bytes = pod_index.size_bytes,
                      .artifact_type = kPodArtifactType,
                      .annotations = {{kRefNameAnnotation, archive_name}}}};
  if (origin == Origin::kImported) index.manifests[0].annotations[kImportedAnnotation] = "true";
  return json::Write(index);
}

Result<Archive> OpenLayout(int layout_dir_fd, const std::string& name) {
  return ArchiveReader(name, false).Read(layout_dir_fd);
}

Status CheckForeignLayout(int layout_dir_fd, const std::string& name) {
  return ArchiveReader(name, true).Read(layout_dir_fd).status();
}

Result<Descriptor> ReadLayoutIndex(int layout_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadLayoutFile(layout_dir_fd, kIndexName));
  CRYOPOD_ASSIGN_OR_RETURN(const ImageIndex index, Parse<ImageIndex>(text, kIndexName));
  if (index.manifests.size() != 1) {
    return Status(Code::kDataLoss,
                  "index.json: manifests: " + std::to_string(index.manifests.size()) +
                      " instead of one, the pod's index");
  }
  if (index.manifests[0].media_type != kImageIndexMediaType) {
    return Status(Code::kDataLoss, "index.json: manifests[0]: mediaType: not an image index");
  }
  return index.manifests[0];
}

Result<UniqueFd> OpenBlobAt(int layout_dir_fd, const Descriptor& descriptor) {
  const std::string where = "blob " + descriptor.digest;
  CRYOPOD_RETURN_IF_ERROR(CheckDigest(descriptor.digest));
  // O_NONBLOCK: a FIFO in a blob's place must not hold us.
  Result<UniqueFd> file =
      OpenBeneath(layout_dir_fd, std::string(kBlobsName) + "/" + DigestHex(descriptor.digest),
                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file.ok()) return AsDamage(file.status()).While(where);
  struct stat attributes {};
  if (::fstat(file->get(), &attributes) != 0) return ErrnoStatus(errno, "fstat", where);
  if (!S_ISREG(attributes.st_mode)) return Status(Code::kDataLoss, where + " is no regular file");
  if (static_cast<uint64_t>(attributes.st_size) != descriptor.size_bytes) {
    return Status(Code::kDataLoss, where + " has " + std::to_string(attributes.st_size) +
                                       " bytes instead of " +
                                       std::to_string(descriptor.size_bytes));
  }
  return file;
}

Result<std::string> ReadJsonBlobAt(int layout_dir_fd, const Descriptor& descriptor) {
  const std::string where = "blob " + descriptor.digest;
  if (descriptor.size_bytes > json::Limits().bytes_max) {
    return Status(Code::kDataLoss, where + " is no JSON of at most 4 MiB");
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenBlobAt(layout_dir_fd, descriptor));
  CRYOPOD_ASSIGN_OR_RETURN(std::string text,
                           ReadAll(file.get(), json::Limits().bytes_max).While(where));
  if (DigestOf(text) == descriptor.digest) return text;
  return Status(Code::kDataLoss, where + " has other bytes");
}

}  // namespace cryopod::archive
