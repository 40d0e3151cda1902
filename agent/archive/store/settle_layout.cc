#include "agent/archive/store/settle_layout.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/archive_reader.h"
#include "agent/archive/tar/blob_file.h"
#include "agent/os/file.h"

namespace cryopod::archive {
namespace {

// Until the agent, which knows it, writes the archive's name.
constexpr char kNoName[] = "unnamed";

// `skopeo copy --all` 1.9.3 (1.22 does not) writes an index anew and drops artifactType from it and
// from its descriptors; the manifests stay as they are, and each of them says what its descriptor
// said. So the index becomes again what it was, byte for byte, and the archive keeps its digest.
// Source: https://github.com/containers/image/issues/2460
Result<Descriptor> RestoreIndex(int layout_dir_fd, const Descriptor& stripped) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadJsonBlobAt(layout_dir_fd, stripped));
  CRYOPOD_ASSIGN_OR_RETURN(ImageIndex index, Parse<ImageIndex>(text, "pod index"));
  if (!index.artifact_type.empty()) return stripped;
  for (Descriptor& descriptor : index.manifests) {
    const std::string where = "manifest " + descriptor.digest;
    CRYOPOD_ASSIGN_OR_RETURN(const std::string json, ReadJsonBlobAt(layout_dir_fd, descriptor));
    CRYOPOD_ASSIGN_OR_RETURN(ImageManifest manifest, Parse<ImageManifest>(json, where));
    descriptor.artifact_type = std::move(manifest.artifact_type);
    descriptor.annotations = std::move(manifest.annotations);
  }
  index.artifact_type = kPodArtifactType;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blobs_dir,
                           OpenBeneath(layout_dir_fd, kBlobsName, O_RDONLY | O_DIRECTORY));
  CRYOPOD_ASSIGN_OR_RETURN(
      Descriptor restored,
      WriteBlob(blobs_dir.get(), ".blob-index", json::Write(index), kImageIndexMediaType));
  if (::unlinkat(blobs_dir.get(), DigestHex(stripped.digest).c_str(), 0) != 0) {
    return ErrnoStatus(errno, "unlinkat", stripped.digest);
  }
  return restored;
}

// Nobody reads it meanwhile, and what WriteFileAtomically does with modes is not allowed here.
Status Overwrite(int layout_dir_fd, const char* name, std::string_view text) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file,
                           OpenBeneath(layout_dir_fd, name, O_WRONLY | O_TRUNC | O_NOFOLLOW));
  return WriteAll(file.get(), text).While(name);
}

}  // namespace

Status SettleLayout(int layout_dir_fd) {
  // Whatever version it tells: what an archive is made of has not changed with it.
  const Status layout = OpenBeneath(layout_dir_fd, kLayoutName, O_RDONLY | O_NOFOLLOW).status();
  const Result<Descriptor> found = layout.ok() ? ReadLayoutIndex(layout_dir_fd) : layout;
  if (!found.ok()) {
    return Status(Code::kInvalidArgument,
                  "this is no pod checkpoint archive: " + found.status().message());
  }
  CRYOPOD_ASSIGN_OR_RETURN(const Descriptor pod_index, RestoreIndex(layout_dir_fd, *found));
  // The other tool's file is covered by no digest.
  CRYOPOD_RETURN_IF_ERROR(Overwrite(layout_dir_fd, kLayoutName, kLayoutJson));
  CRYOPOD_RETURN_IF_ERROR(
      Overwrite(layout_dir_fd, kIndexName, LayoutIndexJson(pod_index, kNoName, Origin::kImported)));
  return CheckForeignLayout(layout_dir_fd, kNoName);
}

}  // namespace cryopod::archive
