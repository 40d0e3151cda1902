#include "agent/archive/store/oci_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/oci_json.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/archive_reader.h"
#include "agent/archive/store/manifests.h"
#include "agent/archive/store/partial_archive.h"
#include "agent/archive/tar/blob_file.h"
#include "agent/archive/tar/tar_writer.h"
#include "agent/archive/unpack/unpack.h"
#include "agent/json/value.h"
#include "agent/os/file.h"

namespace cryopod::archive {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

Status AddDirectory(TarWriter& tar, const std::string& path) {
  LayerEntry entry;
  entry.kind = LayerEntry::Kind::kDirectory;
  entry.path = path;
  entry.mode = 0755;
  return tar.Add(entry);
}

Status AddText(TarWriter& tar, const std::string& path, const std::string& text) {
  LayerEntry entry;
  entry.path = path;
  entry.mode = 0644;
  entry.size_bytes = text.size();
  CRYOPOD_RETURN_IF_ERROR(tar.Add(entry));
  return tar.Write(text);
}

Status AddBlob(TarWriter& tar, const Archive& archive, const Descriptor& descriptor) {
  const std::string where = "blob " + descriptor.digest;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenBlob(descriptor));
  LayerEntry entry;
  entry.path = "blobs/sha256/" + DigestHex(descriptor.digest);
  entry.mode = 0644;
  entry.size_bytes = descriptor.size_bytes;
  CRYOPOD_RETURN_IF_ERROR(tar.Add(entry));
  Sha256 hash;
  std::vector<char> buffer(kReadBytes);
  for (uint64_t left = descriptor.size_bytes; left > 0;) {
    const ssize_t got = ::read(blob.get(), buffer.data(), std::min<uint64_t>(left, buffer.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", where);
    if (got == 0) return Status(Code::kDataLoss, where + " is cut off");
    const std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    hash.Update(bytes);
    CRYOPOD_RETURN_IF_ERROR(tar.Write(bytes));
    left -= bytes.size();
  }
  if (hash.Finish() == descriptor.digest) return Status();
  return Status(Code::kDataLoss, where + " has other bytes: it is damaged");
}

constexpr uint64_t kEntriesMax = 100'000;

// An uncompressed tar holds no more than it is long; of a pipe nobody knows.
UnpackLimits LimitsOf(int tar_fd) {
  UnpackLimits limits;
  limits.entries_max = kEntriesMax;
  struct stat attributes {};
  if (::fstat(tar_fd, &attributes) == 0 && S_ISREG(attributes.st_mode)) {
    limits.bytes_max = static_cast<uint64_t>(attributes.st_size);
  }
  return limits;
}

Status SyncBlobs(const Archive& archive) {
  for (const Descriptor& descriptor : archive.blobs()) {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenBlob(descriptor));
    CRYOPOD_RETURN_IF_ERROR(Sync(blob.get(), descriptor.digest));
  }
  return Status();
}

Result<std::string> ReadJsonBlob(int layout_dir_fd, const Descriptor& descriptor) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, OpenBlobAt(layout_dir_fd, descriptor));
  return ReadAll(blob.get(), json::Limits().bytes_max);
}

// `skopeo copy --all` 1.9.3 (1.22 does not) writes an index anew and drops artifactType from it and
// from its descriptors; the manifests stay as they are, and each of them says what its descriptor
// said. So the index becomes again what it was, byte for byte, and the archive keeps its digest.
// Source: https://github.com/containers/image/issues/2460
Result<Descriptor> RestoreIndex(int layout_dir_fd, const Descriptor& stripped) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadJsonBlob(layout_dir_fd, stripped));
  CRYOPOD_ASSIGN_OR_RETURN(ImageIndex index, ParseImageIndex(text, "pod index"));
  if (!index.artifact_type.empty()) return stripped;
  for (Descriptor& descriptor : index.manifests) {
    const std::string where = "manifest " + descriptor.digest;
    CRYOPOD_ASSIGN_OR_RETURN(const std::string json, ReadJsonBlob(layout_dir_fd, descriptor));
    CRYOPOD_ASSIGN_OR_RETURN(ImageManifest manifest, ParseImageManifest(json, where));
    descriptor.artifact_type = std::move(manifest.artifact_type);
    descriptor.annotations = std::move(manifest.annotations);
  }
  index.artifact_type = kPodArtifactType;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blobs_dir,
                           OpenBeneath(layout_dir_fd, kBlobsName, O_RDONLY | O_DIRECTORY));
  CRYOPOD_ASSIGN_OR_RETURN(const HashedFile written,
                           WriteBlob(blobs_dir.get(), ".blob-index", ToJson(index)));
  if (::unlinkat(blobs_dir.get(), DigestHex(stripped.digest).c_str(), 0) != 0) {
    return ErrnoStatus(errno, "unlinkat", stripped.digest);
  }
  Descriptor restored = stripped;
  restored.digest = written.digest;
  restored.size_bytes = written.size_bytes;
  return restored;
}

Result<Archive> ImportInto(PartialArchive* partial, int tar_fd, const std::string& unpack_program,
                           Deadline deadline) {
  const int layout_dir_fd = partial->layout_dir_fd();
  CRYOPOD_RETURN_IF_ERROR(
      UnpackLayout(unpack_program, tar_fd, layout_dir_fd, LimitsOf(tar_fd), deadline));
  Result<Descriptor> pod_index = ReadForeignIndex(layout_dir_fd);
  if (!pod_index.ok()) {
    return Status(Code::kInvalidArgument,
                  "this is no pod checkpoint archive: " + pod_index.status().message());
  }
  CRYOPOD_ASSIGN_OR_RETURN(const Descriptor restored, RestoreIndex(layout_dir_fd, *pod_index));
  // Under our name and in our words: the other tool's file is covered by no digest.
  CRYOPOD_RETURN_IF_ERROR(partial->WriteIndex(restored));
  CRYOPOD_ASSIGN_OR_RETURN(Archive archive, OpenLayout(layout_dir_fd, partial->name()));
  CRYOPOD_RETURN_IF_ERROR(archive.Verify(nullptr, deadline).status());
  CRYOPOD_RETURN_IF_ERROR(SyncBlobs(archive));
  CRYOPOD_RETURN_IF_ERROR(partial->Publish());
  return archive;
}

}  // namespace

Status ExportOciArchive(const Archive& archive, const ByteSink& sink) {
  const std::string doing = "exporting archive \"" + archive.name() + "\"";
  std::vector<Descriptor> blobs = archive.blobs();
  std::sort(blobs.begin(), blobs.end(),
            [](const Descriptor& a, const Descriptor& b) { return a.digest < b.digest; });
  TarWriter tar(TarWriter::Format::kPlain, sink);
  CRYOPOD_RETURN_IF_ERROR(AddText(tar, "oci-layout", kLayoutJson).While(doing));
  Descriptor pod_index;
  for (const Descriptor& blob : blobs) {
    if (blob.digest == archive.digest()) pod_index = blob;
  }
  CRYOPOD_RETURN_IF_ERROR(
      AddText(tar, "index.json", LayoutIndexJson(pod_index, archive.name())).While(doing));
  CRYOPOD_RETURN_IF_ERROR(AddDirectory(tar, "blobs").While(doing));
  CRYOPOD_RETURN_IF_ERROR(AddDirectory(tar, "blobs/sha256").While(doing));
  for (const Descriptor& blob : blobs) {
    CRYOPOD_RETURN_IF_ERROR(AddBlob(tar, archive, blob).While(doing));
  }
  return tar.Finish().While(doing);
}

Result<Archive> ImportOciArchive(const ArchiveStore& store, const std::string& name, int tar_fd,
                                 const std::string& unpack_program, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(PartialArchive partial, PartialArchive::Claim(store, name));
  return ImportInto(&partial, tar_fd, unpack_program, deadline)
      .While("importing archive \"" + name + "\"");
}

}  // namespace cryopod::archive
