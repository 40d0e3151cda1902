#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/oci_json.h"
#include "agent/archive/store/archive_reader.h"
#include "agent/archive/store/export.h"
#include "agent/archive/store/partial_archive.h"
#include "agent/archive/tar/blob_file.h"
#include "agent/archive/unpack/unpack.h"
#include "agent/json/value.h"
#include "agent/os/file.h"

namespace cryopod::archive {
namespace {

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

Result<Archive> ImportOciArchive(const ArchiveStore& store, const std::string& name, int tar_fd,
                                 const std::string& unpack_program, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(PartialArchive partial, PartialArchive::Claim(store, name));
  return ImportInto(&partial, tar_fd, unpack_program, deadline)
      .While("importing archive \"" + name + "\"");
}

}  // namespace cryopod::archive
