#include "agent/archive/store/archive_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <set>
#include <utility>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/store/archive_reader.h"
#include "agent/archive/store/manifests.h"
#include "agent/archive/store/partial_archive.h"
#include "agent/archive/tar/blob_file.h"
#include "agent/archive/tar/layer_entry.h"
#include "agent/archive/tar/overlay_upper.h"
#include "agent/archive/tar/tar_blob.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::archive {

struct ArchiveWriter::State {
  State(PartialArchive claimed, UniqueFd blobs)
      : partial(std::move(claimed)), blobs_dir(std::move(blobs)) {}

  std::string NextName() { return ".blob-" + std::to_string(blob_count.fetch_add(1)); }
  std::string Doing(const std::string& what) const {
    return "archive \"" + partial.name() + "\": " + what;
  }

  PartialArchive partial;
  UniqueFd blobs_dir;
  std::atomic<uint64_t> blob_count{0};
};

namespace {

Result<LayerEntry> FileEntry(const std::string& name, int fd) {
  struct stat attributes {};
  if (::fstat(fd, &attributes) != 0) return ErrnoStatus(errno, "fstat", name);
  if (!S_ISREG(attributes.st_mode)) {
    return Status(Code::kInvalidArgument, "\"" + JsonEscape(name) + "\" is not a regular file");
  }
  LayerEntry entry;
  entry.path = name;
  entry.mode = 0600;
  entry.size_bytes = static_cast<uint64_t>(attributes.st_size);
  return entry;
}

Status CheckPackable(const std::string& name) {
  const Status status = CheckFileName(name);
  return status.ok() ? status : Status(Code::kInvalidArgument, status.message());
}

Status PackDirectory(int dir_fd, const ByteProgress& progress, TarBlob* blob) {
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
    CRYOPOD_ASSIGN_OR_RETURN(const LayerEntry entry, FileEntry(name.name, file.get()));
    CRYOPOD_RETURN_IF_ERROR(blob->AddFile(entry, file.get(), progress));
  }
  return Status();
}

}  // namespace

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
  Result<TarBlob> blob = TarBlob::Create(state_->blobs_dir.get(), state_->NextName(),
                                         TarWriter::Format::kPlain, bytes);
  if (!blob.ok()) return blob.status().While(doing);
  CRYOPOD_RETURN_IF_ERROR(PackDirectory(dir_fd, progress, &*blob).While(doing));
  return std::move(*blob).Commit(media_type).While(doing);
}

Result<Descriptor> ArchiveWriter::PackMemory(const std::map<std::string, std::string>& files,
                                             const std::string& media_type) {
  const std::string doing = state_->Doing("packing metadata");
  uint64_t bytes = 0;
  for (const auto& [name, content] : files) bytes += content.size();
  Result<TarBlob> blob = TarBlob::Create(state_->blobs_dir.get(), state_->NextName(),
                                         TarWriter::Format::kPlain, bytes);
  if (!blob.ok()) return blob.status().While(doing);
  for (const auto& [name, content] : files) {
    CRYOPOD_RETURN_IF_ERROR(CheckPackable(name).While(doing));
    LayerEntry entry;
    entry.path = name;
    entry.mode = 0600;
    entry.size_bytes = content.size();
    CRYOPOD_RETURN_IF_ERROR(blob->AddBytes(entry, content).While(doing));
  }
  return std::move(*blob).Commit(media_type).While(doing);
}

Result<Descriptor> ArchiveWriter::PackOverlayUpper(int dir_fd, const ByteProgress& progress) {
  const std::string doing = state_->Doing("packing the writable layer");
  // Many containers write nothing.
  std::optional<TarBlob> blob;
  const UpperSink sink = [&](const LayerEntry& entry, int file_fd) -> Status {
    if (!blob) {
      CRYOPOD_ASSIGN_OR_RETURN(TarBlob begun,
                               TarBlob::Create(state_->blobs_dir.get(), state_->NextName(),
                                               TarWriter::Format::kFull, TarBlob::kBytesUnknown));
      blob.emplace(std::move(begun));
    }
    return entry.kind == LayerEntry::Kind::kFile ? blob->AddFile(entry, file_fd, progress)
                                                 : blob->Add(entry);
  };
  Result<uint64_t> entries = WalkOverlayUpper(dir_fd, sink);
  if (!entries.ok()) return entries.status().While(doing);
  if (!blob) return Descriptor{};
  return std::move(*blob).Commit(kImageLayerZstdMediaType).While(doing);
}

namespace {

// Writes the JSON blobs of one archive and remembers what belongs to it.
class LayoutWriter {
 public:
  LayoutWriter(int blobs_dir_fd, std::function<std::string()> next_name)
      : blobs_dir_fd_(blobs_dir_fd), next_name_(std::move(next_name)) {}

  void Keep(const Descriptor& descriptor) {
    if (!descriptor.digest.empty()) kept_.insert(DigestHex(descriptor.digest));
  }

  Result<Descriptor> AddJson(const std::string& text, const char* media_type) {
    CRYOPOD_ASSIGN_OR_RETURN(const HashedFile written,
                             WriteBlob(blobs_dir_fd_, next_name_(), text));
    Descriptor descriptor;
    descriptor.media_type = media_type;
    descriptor.digest = written.digest;
    descriptor.size_bytes = written.size_bytes;
    Keep(descriptor);
    return descriptor;
  }

  Result<Descriptor> AddManifest(ImageManifest manifest) {
    for (const Descriptor& layer : manifest.layers) Keep(layer);
    CRYOPOD_ASSIGN_OR_RETURN(Descriptor descriptor,
                             AddJson(ToJson(manifest), kImageManifestMediaType));
    descriptor.artifact_type = std::move(manifest.artifact_type);
    descriptor.annotations = std::move(manifest.annotations);
    return descriptor;
  }

  Status RemoveStrays() const {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> names, ListDirectory(blobs_dir_fd_));
    for (const DirectoryEntry& name : names) {
      if (kept_.contains(name.name)) continue;
      if (::unlinkat(blobs_dir_fd_, name.name.c_str(), 0) != 0) {
        return ErrnoStatus(errno, "unlinkat", name.name);
      }
    }
    return Status();
  }

 private:
  const int blobs_dir_fd_;
  const std::function<std::string()> next_name_;
  std::set<std::string> kept_;
};

Result<Descriptor> WritePodIndex(const PodCheckpoint& checkpoint, const Descriptor& pod_metadata,
                                 const std::vector<ContainerLayers>& containers,
                                 LayoutWriter* layout) {
  ImageIndex index;
  index.artifact_type = kPodArtifactType;
  index.annotations = PodAnnotations(checkpoint);
  CRYOPOD_ASSIGN_OR_RETURN(const Descriptor pod_config,
                           layout->AddJson(ToJson(checkpoint), kPodConfigMediaType));
  CRYOPOD_ASSIGN_OR_RETURN(Descriptor pod,
                           layout->AddManifest(PodManifest(checkpoint, pod_config, pod_metadata)));
  index.manifests.push_back(std::move(pod));
  for (const ContainerCheckpoint& container : checkpoint.containers) {
    CRYOPOD_ASSIGN_OR_RETURN(const ContainerLayers* layers, FindLayers(containers, container.name));
    CRYOPOD_ASSIGN_OR_RETURN(
        const Descriptor config,
        layout->AddJson(ContainerConfigJson(container), kContainerConfigMediaType));
    CRYOPOD_ASSIGN_OR_RETURN(Descriptor manifest, layout->AddManifest(ContainerManifest(
                                                      checkpoint, container, *layers, config)));
    index.manifests.push_back(std::move(manifest));
  }
  CRYOPOD_ASSIGN_OR_RETURN(Descriptor written,
                           layout->AddJson(ToJson(index), kImageIndexMediaType));
  written.artifact_type = kPodArtifactType;
  return written;
}

}  // namespace

Result<Archive> ArchiveWriter::Commit(const PodCheckpoint& checkpoint,
                                      const Descriptor& pod_metadata,
                                      const std::vector<ContainerLayers>& containers) && {
  const std::unique_ptr<State> state = std::move(state_);
  const std::string doing = state->Doing("committing");
  if (containers.size() != checkpoint.containers.size()) {
    return Status(Code::kInvalidArgument, "layers of " + std::to_string(containers.size()) +
                                              " containers for a checkpoint of " +
                                              std::to_string(checkpoint.containers.size()))
        .While(doing);
  }
  LayoutWriter layout(state->blobs_dir.get(), [&] { return state->NextName(); });
  Result<Descriptor> index = WritePodIndex(checkpoint, pod_metadata, containers, &layout);
  if (!index.ok()) return index.status().While(doing);
  CRYOPOD_RETURN_IF_ERROR(layout.RemoveStrays().While(doing));
  CRYOPOD_RETURN_IF_ERROR(state->partial.WriteIndex(*index).While(doing));
  // Whatever would not open again must not become visible.
  Result<Archive> archive = OpenLayout(state->partial.layout_dir_fd(), state->partial.name());
  if (!archive.ok()) return archive.status().While(state->Doing("reading back what was written"));
  CRYOPOD_RETURN_IF_ERROR(state->partial.Publish().While(doing));
  return archive;
}

}  // namespace cryopod::archive
