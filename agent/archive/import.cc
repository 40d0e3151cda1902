#include <fcntl.h>
#include <sys/stat.h>

#include "agent/archive/archive_reader.h"
#include "agent/archive/export.h"
#include "agent/archive/partial_archive.h"
#include "agent/archive/unpack.h"
#include "agent/os/directory.h"
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
  // Under our name and in our words: the other tool's file is covered by no digest.
  CRYOPOD_RETURN_IF_ERROR(partial->WriteIndex(*pod_index));
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
