#include "agent/archive/store/oci_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/archive_reader.h"
#include "agent/archive/store/partial_archive.h"
#include "agent/archive/tar/blob_file.h"
#include "agent/archive/tar/tar_writer.h"
#include "agent/archive/unpack/unpack.h"
#include "agent/os/file.h"

namespace cryopod::archive {
namespace {

Status AddBlob(TarWriter& tar, const Archive& archive, const Descriptor& descriptor) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenBlob(descriptor));
  Sha256 hash;
  const ByteSink update = [&hash](std::string_view bytes) {
    hash.Update(bytes);
    return Status();
  };
  CRYOPOD_RETURN_IF_ERROR(tar.AddFile({.path = "blobs/sha256/" + DigestHex(descriptor.digest),
                                       .mode = 0644,
                                       .size_bytes = descriptor.size_bytes},
                                      blob.get(), update));
  if (hash.Finish() == descriptor.digest) return Status();
  return Status(Code::kDataLoss, "blob " + descriptor.digest + " has other bytes: it is damaged");
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

Result<Archive> ImportInto(PartialArchive* partial, int tar_fd, const std::string& unpack_program,
                           Deadline deadline) {
  const int layout_dir_fd = partial->layout_dir_fd();
  CRYOPOD_RETURN_IF_ERROR(
      UnpackLayout(unpack_program, tar_fd, layout_dir_fd, LimitsOf(tar_fd), deadline));
  // From here on it is what cryopod-unpack has read and found to be such as we write it.
  CRYOPOD_ASSIGN_OR_RETURN(const Descriptor pod_index, ReadLayoutIndex(layout_dir_fd));
  CRYOPOD_RETURN_IF_ERROR(partial->WriteIndex(pod_index, Origin::kImported));
  CRYOPOD_ASSIGN_OR_RETURN(Archive archive, OpenLayout(layout_dir_fd, partial->name()));
  CRYOPOD_RETURN_IF_ERROR(archive.Verify(deadline));
  CRYOPOD_RETURN_IF_ERROR(SyncBlobs(archive));
  CRYOPOD_RETURN_IF_ERROR(partial->Publish());
  return archive;
}

}  // namespace

Status ExportOciArchive(const Archive& archive, const ByteSink& sink) {
  const std::string doing = "exporting archive \"" + archive.name() + "\"";
  std::vector<Descriptor> blobs = archive.blobs();
  std::ranges::sort(blobs, {}, &Descriptor::digest);
  TarWriter tar(TarWriter::Format::kPlain, sink);
  CRYOPOD_RETURN_IF_ERROR(tar.AddBytes("oci-layout", 0644, kLayoutJson).While(doing));
  const auto pod_index = std::ranges::find(blobs, archive.digest(), &Descriptor::digest);
  const std::string index = LayoutIndexJson(*pod_index, archive.name());
  CRYOPOD_RETURN_IF_ERROR(tar.AddBytes("index.json", 0644, index).While(doing));
  for (const char* path : {"blobs", "blobs/sha256"}) {
    const LayerEntry directory{.kind = LayerEntry::Kind::kDirectory, .path = path, .mode = 0755};
    CRYOPOD_RETURN_IF_ERROR(tar.Add(directory).While(doing));
  }
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
