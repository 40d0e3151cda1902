#include "agent/archive/store/archive_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <set>
#include <utility>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/archive_reader.h"
#include "agent/archive/store/partial_archive.h"
#include "agent/archive/tar/blob_file.h"
#include "agent/archive/tar/overlay_upper.h"
#include "agent/archive/tar/tar_writer.h"
#include "agent/archive/tar/zstd_stream.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

constexpr int kZstdLevel = 1;
constexpr int kZstdWorkers = 2;
// Starting workers takes about as long as compressing this.
constexpr uint64_t kWorkersFromBytes = uint64_t{4} << 20;

// A zstd-compressed tar as one blob: tar → zstd (workers of its own) → hash and file (a thread of
// its own). Memory is bounded, about 32 MiB, whatever goes through.
//
// Threads  one at a time; different blobs at once.
class TarBlob {
 public:
  // `expected_bytes`: how much will come, about; a little is compressed without workers, UINT64_MAX
  // stands for nobody knows.
  static Result<std::unique_ptr<TarBlob>> Create(int blobs_dir_fd, std::string partial_name,
                                                 TarWriter::Format format, uint64_t expected_bytes);
  TarBlob(const TarBlob&) = delete;
  TarBlob& operator=(const TarBlob&) = delete;

  // Where entries go that are no files of this machine.
  TarWriter& tar() { return tar_; }
  Status AddFile(const LayerEntry& entry, int file_fd, const ByteProgress& progress);
  // Afterwards only destruction is allowed.
  Result<Descriptor> Commit(std::string media_type);

 private:
  TarBlob(std::unique_ptr<BlobFile> blob, ZstdCompressor zstd, TarWriter::Format format);

  // Each stage refers to the one before it.
  const std::unique_ptr<BlobFile> blob_;
  ZstdCompressor zstd_;
  TarWriter tar_;
};

TarBlob::TarBlob(std::unique_ptr<BlobFile> blob, ZstdCompressor zstd, TarWriter::Format format)
    : blob_(std::move(blob)),
      zstd_(std::move(zstd)),
      tar_(format, [this](std::string_view bytes) { return zstd_.Write(bytes); }) {}

Result<std::unique_ptr<TarBlob>> TarBlob::Create(int blobs_dir_fd, std::string partial_name,
                                                 TarWriter::Format format,
                                                 uint64_t expected_bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(std::unique_ptr<BlobFile> blob,
                           BlobFile::Create(blobs_dir_fd, std::move(partial_name)));
  const auto append = [file = blob.get()](std::string chunk) {
    return file->Append(std::move(chunk));
  };
  const int workers = expected_bytes < kWorkersFromBytes ? 0 : kZstdWorkers;
  CRYOPOD_ASSIGN_OR_RETURN(ZstdCompressor zstd,
                           ZstdCompressor::Create(kZstdLevel, workers, append));
  return std::unique_ptr<TarBlob>(new TarBlob(std::move(blob), std::move(zstd), format));
}

Status TarBlob::AddFile(const LayerEntry& entry, int file_fd, const ByteProgress& progress) {
  if (!progress) return tar_.AddFile(entry, file_fd, nullptr);
  return tar_.AddFile(entry, file_fd,
                      [&](std::string_view bytes) { return progress(bytes.size()); });
}

Result<Descriptor> TarBlob::Commit(std::string media_type) {
  CRYOPOD_RETURN_IF_ERROR(tar_.Finish());
  CRYOPOD_RETURN_IF_ERROR(zstd_.Finish());
  return blob_->Commit(std::move(media_type));
}

Status CheckPackable(const std::string& name) {
  const Status status = CheckFileName(name);
  return status.ok() ? status : Status(Code::kInvalidArgument, status.message());
}

Status PackDirectory(int dir_fd, const ByteProgress& progress, TarBlob& blob) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> names, ListDirectory(dir_fd));
  if (names.size() > kPlainFilesMax) {
    return Status(Code::kFailedPrecondition,
                  std::to_string(names.size()) + " files are more than the " +
                      std::to_string(kPlainFilesMax) + " that a restore accepts");
  }
  for (const DirectoryEntry& name : names) {
    CRYOPOD_RETURN_IF_ERROR(CheckPackable(name.name));
    // O_NONBLOCK: opening a FIFO would wait for its other end.
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file,
                             OpenAt(dir_fd, name.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    struct stat attributes {};
    if (::fstat(file.get(), &attributes) != 0) return ErrnoStatus(errno, "fstat", name.name);
    if (!S_ISREG(attributes.st_mode)) {
      return Status(Code::kInvalidArgument,
                    "\"" + JsonEscape(name.name) + "\" is not a regular file");
    }
    const LayerEntry entry{
        .path = name.name, .mode = 0600, .size_bytes = static_cast<uint64_t>(attributes.st_size)};
    CRYOPOD_RETURN_IF_ERROR(blob.AddFile(entry, file.get(), progress));
  }
  return Status();
}

// The org.criu.checkpoint annotations that hold for the pod and so for each of its manifests.
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

ImageManifest ContainerManifest(const std::map<std::string, std::string>& pod_annotations,
                                const ContainerCheckpoint& container, const ContainerParts& layers,
                                const Descriptor& config) {
  ImageManifest manifest;
  manifest.artifact_type = kContainerArtifactType;
  manifest.config = config;
  manifest.layers = {layers.metadata, layers.criu_images};
  if (!layers.rootfs_diff.digest.empty()) manifest.layers.push_back(layers.rootfs_diff);
  manifest.annotations = {{kEngineNameAnnotation, "cryopod"},
                          {kContainerNameAnnotation, container.name},
                          {kCrioNameAnnotation, container.name}};
  if (!container.image.empty()) manifest.annotations[kRootfsImageNameAnnotation] = container.image;
  manifest.annotations.insert(pod_annotations.begin(), pod_annotations.end());
  return manifest;
}

}  // namespace

struct ArchiveWriter::State {
  State(PartialArchive claimed, UniqueFd blobs)
      : partial(std::move(claimed)), blobs_dir(std::move(blobs)) {}

  std::string NextName() { return ".blob-" + std::to_string(blob_count.fetch_add(1)); }
  std::string Doing(const std::string& what) const {
    return "archive \"" + partial.name() + "\": " + what;
  }
  Result<std::unique_ptr<TarBlob>> NewBlob(TarWriter::Format format, uint64_t expected_bytes) {
    return TarBlob::Create(blobs_dir.get(), NextName(), format, expected_bytes);
  }

  void Keep(const Descriptor& descriptor) {
    if (!descriptor.digest.empty()) kept.insert(DigestHex(descriptor.digest));
  }
  Result<Descriptor> AddJson(std::string text, const char* media_type);
  Result<Descriptor> AddManifest(ImageManifest manifest);
  Result<Descriptor> WritePodIndex(const PodCheckpoint& checkpoint, const Descriptor& pod_metadata,
                                   const std::vector<ContainerParts>& containers);
  Status RemoveStrays() const;

  PartialArchive partial;
  UniqueFd blobs_dir;
  std::atomic<uint64_t> blob_count{0};
  std::set<std::string> kept;  // the files of blobs that belong to the archive
};

Result<Descriptor> ArchiveWriter::State::AddJson(std::string text, const char* media_type) {
  CRYOPOD_ASSIGN_OR_RETURN(Descriptor descriptor,
                           WriteBlob(blobs_dir.get(), NextName(), std::move(text), media_type));
  Keep(descriptor);
  return descriptor;
}

Result<Descriptor> ArchiveWriter::State::AddManifest(ImageManifest manifest) {
  for (const Descriptor& layer : manifest.layers) Keep(layer);
  CRYOPOD_ASSIGN_OR_RETURN(Descriptor descriptor,
                           AddJson(json::Write(manifest), kImageManifestMediaType));
  descriptor.artifact_type = std::move(manifest.artifact_type);
  descriptor.annotations = std::move(manifest.annotations);
  return descriptor;
}

Result<Descriptor> ArchiveWriter::State::WritePodIndex(
    const PodCheckpoint& checkpoint, const Descriptor& pod_metadata,
    const std::vector<ContainerParts>& containers) {
  ImageIndex index;
  index.artifact_type = kPodArtifactType;
  index.annotations = PodAnnotations(checkpoint);
  CRYOPOD_ASSIGN_OR_RETURN(const Descriptor pod_config,
                           AddJson(ToJson(checkpoint), kPodConfigMediaType));
  CRYOPOD_ASSIGN_OR_RETURN(
      Descriptor pod,
      AddManifest({kPodArtifactType, pod_config, {pod_metadata}, index.annotations}));
  index.manifests.push_back(std::move(pod));
  for (const ContainerCheckpoint& container : checkpoint.containers) {
    const auto layers = std::ranges::find(containers, container.name, &ContainerParts::name);
    if (layers == containers.end()) {
      return Status(Code::kInvalidArgument,
                    "no layers were given for container \"" + container.name + "\"");
    }
    const ContainerConfig described{container.name, container.id, container.image,
                                    container.image_ref};
    CRYOPOD_ASSIGN_OR_RETURN(const Descriptor config,
                             AddJson(json::Write(described), kContainerConfigMediaType));
    CRYOPOD_ASSIGN_OR_RETURN(
        Descriptor manifest,
        AddManifest(ContainerManifest(index.annotations, container, *layers, config)));
    index.manifests.push_back(std::move(manifest));
  }
  return AddJson(json::Write(index), kImageIndexMediaType);
}

Status ArchiveWriter::State::RemoveStrays() const {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> names, ListDirectory(blobs_dir.get()));
  for (const DirectoryEntry& name : names) {
    if (kept.contains(name.name)) continue;
    if (::unlinkat(blobs_dir.get(), name.name.c_str(), 0) != 0) {
      return ErrnoStatus(errno, "unlinkat", name.name);
    }
  }
  return Status();
}

ArchiveWriter::ArchiveWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
ArchiveWriter::ArchiveWriter(ArchiveWriter&&) noexcept = default;
ArchiveWriter& ArchiveWriter::operator=(ArchiveWriter&&) noexcept = default;
ArchiveWriter::~ArchiveWriter() = default;

Result<ArchiveWriter> ArchiveStore::Create(const std::string& name) const {
  CRYOPOD_ASSIGN_OR_RETURN(PartialArchive partial, PartialArchive::Claim(*this, name));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(partial.layout_dir_fd(), "blobs"));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(partial.layout_dir_fd(), "blobs/sha256"));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd blobs_dir,
                           OpenAt(partial.layout_dir_fd(), "blobs/sha256", O_RDONLY | O_DIRECTORY));
  return ArchiveWriter(
      std::make_unique<ArchiveWriter::State>(std::move(partial), std::move(blobs_dir)));
}

Result<Descriptor> ArchiveWriter::PackFiles(int dir_fd, const std::string& media_type,
                                            const ByteProgress& progress) {
  const std::string doing = state_->Doing("packing files");
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t bytes, FilesBytes(dir_fd).While(doing));
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<TarBlob> blob,
                           state_->NewBlob(TarWriter::Format::kPlain, bytes).While(doing));
  CRYOPOD_RETURN_IF_ERROR(PackDirectory(dir_fd, progress, *blob).While(doing));
  return blob->Commit(media_type).While(doing);
}

Result<Descriptor> ArchiveWriter::PackMemory(const std::map<std::string, std::string>& files,
                                             const std::string& media_type) {
  const std::string doing = state_->Doing("packing metadata");
  uint64_t bytes = 0;
  for (const auto& [name, content] : files) bytes += content.size();
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<TarBlob> blob,
                           state_->NewBlob(TarWriter::Format::kPlain, bytes).While(doing));
  for (const auto& [name, content] : files) {
    CRYOPOD_RETURN_IF_ERROR(CheckPackable(name).While(doing));
    CRYOPOD_RETURN_IF_ERROR(blob->tar().AddBytes(name, 0600, content).While(doing));
  }
  return blob->Commit(media_type).While(doing);
}

Result<Descriptor> ArchiveWriter::PackOverlayUpper(int dir_fd, const ByteProgress& progress) {
  const std::string doing = state_->Doing("packing the writable layer");
  // Many containers write nothing.
  std::unique_ptr<TarBlob> blob;
  const UpperSink sink = [&](const LayerEntry& entry, int file_fd) -> Status {
    if (!blob) {
      CRYOPOD_ASSIGN_OR_RETURN(blob, state_->NewBlob(TarWriter::Format::kFull, UINT64_MAX));
    }
    return entry.kind == LayerEntry::Kind::kFile ? blob->AddFile(entry, file_fd, progress)
                                                 : blob->tar().Add(entry);
  };
  CRYOPOD_RETURN_IF_ERROR(WalkOverlayUpper(dir_fd, sink).While(doing));
  if (!blob) return Descriptor{};
  return blob->Commit(kImageLayerZstdMediaType).While(doing);
}

Result<Archive> ArchiveWriter::Commit(const PodCheckpoint& checkpoint,
                                      const Descriptor& pod_metadata,
                                      const std::vector<ContainerParts>& containers) && {
  const std::unique_ptr<State> state = std::move(state_);
  const std::string doing = state->Doing("committing");
  if (containers.size() != checkpoint.containers.size()) {
    return Status(Code::kInvalidArgument, "layers of " + std::to_string(containers.size()) +
                                              " containers for a checkpoint of " +
                                              std::to_string(checkpoint.containers.size()))
        .While(doing);
  }
  CRYOPOD_ASSIGN_OR_RETURN(const Descriptor index,
                           state->WritePodIndex(checkpoint, pod_metadata, containers).While(doing));
  CRYOPOD_RETURN_IF_ERROR(state->RemoveStrays().While(doing));
  CRYOPOD_RETURN_IF_ERROR(state->partial.WriteIndex(index, Origin::kThisNode).While(doing));
  // Whatever would not open again must not become visible.
  CRYOPOD_ASSIGN_OR_RETURN(Archive archive,
                           OpenLayout(state->partial.layout_dir_fd(), state->partial.name())
                               .While(state->Doing("reading back what was written")));
  CRYOPOD_RETURN_IF_ERROR(state->partial.Publish().While(doing));
  return archive;
}

}  // namespace cryopod::archive
