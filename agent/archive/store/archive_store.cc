#include "agent/archive/store/archive_store.h"

#include <dirent.h>
#include <fcntl.h>

#include <chrono>
#include <utility>

#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/archive_reader.h"
#include "agent/archive/store/partial_archive.h"
#include "agent/archive/unpack/unpack.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/text.h"

namespace cryopod::archive {

namespace {

constexpr size_t kNameBytesMax = 200;

Status NotInStore(const std::string& name, const std::string& root) {
  return Status(Code::kNotFound, "archive \"" + name + "\" is not in the store " + root +
                                     "; \"cryopodctl list\" shows what is");
}

Status CheckHash(int blob_fd, const std::string& archive, const Descriptor& descriptor,
                 Deadline deadline) {
  const std::string where = "archive \"" + archive + "\": blob " + descriptor.digest;
  CRYOPOD_ASSIGN_OR_RETURN(const std::string digest, HashFile(blob_fd, deadline).While(where));
  if (digest == descriptor.digest) return Status();
  return Status(Code::kDataLoss, where + " has other bytes: it is damaged");
}

struct MemorySink : public LayerSink {
  Status Apply(const LayerEntry& entry, const Content& content) override {
    std::string text(entry.size_bytes, '\0');  // the checker has bounded it
    for (size_t done = 0; done < text.size();) {
      CRYOPOD_ASSIGN_OR_RETURN(const size_t got, content(text.data() + done, text.size() - done));
      if (got == 0) return Status(Code::kDataLoss, JsonEscape(entry.path) + " is cut off");
      done += got;
    }
    files[entry.path] = std::move(text);
    return Status();
  }

  std::map<std::string, std::string> files;
};

using Files = std::map<std::string, std::string>;

// Through one of the unpacker's ways.
Result<Files> ReadFiles(decltype(&UnpackFilesTo) unpack, const std::string& unpack_program,
                        const Archive& archive, const Descriptor& descriptor, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenVerifiedBlob(descriptor));
  MemorySink sink;
  const UnpackLimits limits{kMetadataBytesMax, kMetadataFilesMax};
  CRYOPOD_RETURN_IF_ERROR(
      unpack(unpack_program, blob.get(), sink, limits, deadline)
          .While("archive \"" + archive.name() + "\": metadata " + descriptor.digest));
  return std::move(sink.files);
}

}  // namespace

Status CheckArchiveName(const std::string& name) {
  const bool ok =
      IsPlainName(name) && name.size() <= kNameBytesMax && name[0] != '_' && name[0] != '-';
  if (ok) return Status();
  return Status(
      Code::kInvalidArgument,
      "archive name \"" + JsonEscape(name.substr(0, 80)) +
          "\" must be 1 to 200 letters, digits, '.', '_' or '-', a letter or digit first");
}

Result<ArchiveReference> ParseArchiveReference(const std::string& text) {
  const size_t at = text.find('@');
  ArchiveReference reference{.name = text.substr(0, at), .digest = {}};
  Status status = CheckArchiveName(reference.name);
  if (status.ok() && at != std::string::npos) {
    reference.digest = text.substr(at + 1);
    status = CheckDigest(reference.digest);
  }
  if (status.ok()) return reference;
  return std::move(status).While("\"" + JsonEscape(text.substr(0, 300)) +
                                 "\" is not NAME or NAME@sha256:HEX");
}

Status Archive::Verify(Deadline deadline) const {
  for (const Descriptor& descriptor : blobs_) {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenBlob(descriptor));
    CRYOPOD_RETURN_IF_ERROR(CheckHash(file.get(), name_, descriptor, deadline));
  }
  return Status();
}

Result<const ContainerParts*> Archive::FindContainer(const std::string& name) const {
  std::vector<std::string> names;
  for (const ContainerParts& parts : containers_) {
    if (parts.name == name) return &parts;
    names.push_back(parts.name);
  }
  return Status(Code::kNotFound, "archive \"" + name_ + "\" has no container \"" +
                                     JsonEscape(name) + "\"; it has: " + Join(names));
}

Result<UniqueFd> Archive::OpenBlob(const Descriptor& descriptor) const {
  return OpenBlobAt(layout_dir_.get(), descriptor).While("archive \"" + name_ + "\"");
}

Result<UniqueFd> Archive::OpenVerifiedBlob(const Descriptor& descriptor) const {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd file, OpenBlob(descriptor));
  CRYOPOD_RETURN_IF_ERROR(VerifyBlob(file.get(), descriptor));
  return file;
}

Status Archive::VerifyBlob(int blob_fd, const Descriptor& descriptor) const {
  // As long as it takes: its length is known, and whoever waits has a deadline of its own.
  return CheckHash(blob_fd, name_, descriptor, Deadline::After(std::chrono::hours(24)));
}

Result<Files> ReadMetadata(const std::string& unpack_program, const Archive& archive,
                           const Descriptor& descriptor, Deadline deadline) {
  return ReadFiles(&UnpackFilesTo, unpack_program, archive, descriptor, deadline);
}

Result<Files> ReadRequestDocuments(const std::string& unpack_program, const Archive& archive,
                                   const Descriptor& descriptor, Deadline deadline) {
  return ReadFiles(&UnpackDocumentsTo, unpack_program, archive, descriptor, deadline);
}

Result<ArchiveStore> ArchiveStore::Open(const std::string& root) {
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(root).While("archive store"));
  ArchiveStore store;
  store.root_ = root;
  CRYOPOD_ASSIGN_OR_RETURN(store.dir_, OpenDirectory(root).While("archive store"));
  CRYOPOD_RETURN_IF_ERROR(
      OpenPartialDirectory(store.dir_.get()).status().While("archive store " + root));
  return store;
}

Result<std::vector<std::string>> ArchiveStore::List() const {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                           ListDirectory(dir_.get()).While("archive store " + root_));
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : entries) {
    if (entry.type == DT_DIR && CheckArchiveName(entry.name).ok()) names.push_back(entry.name);
  }
  return names;
}

Result<Archive> ArchiveStore::OpenArchive(const ArchiveReference& reference) const {
  CRYOPOD_RETURN_IF_ERROR(CheckArchiveName(reference.name));
  const std::string where = "archive \"" + reference.name + "\"";
  Result<UniqueFd> layout =
      OpenBeneath(dir_.get(), reference.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (layout.status().code() == Code::kNotFound) return NotInStore(reference.name, root_);
  if (!layout.ok()) return layout.status().While(where);
  CRYOPOD_ASSIGN_OR_RETURN(Archive archive, OpenLayout(layout->get(), reference.name).While(where));
  if (!reference.digest.empty() && reference.digest != archive.digest()) {
    return Status(Code::kFailedPrecondition,
                  where + " has the digest " + archive.digest() + ", not " + reference.digest);
  }
  return archive;
}

Result<UniqueFd> ArchiveStore::Lease(const std::string& name) const {
  CRYOPOD_RETURN_IF_ERROR(CheckArchiveName(name));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd partial, OpenPartialDirectory(dir_.get()));
  Result<UniqueFd> lease = LeaseCommitted(dir_.get(), name, partial.get());
  if (lease.status().code() == Code::kNotFound) return NotInStore(name, root_);
  return lease;
}

Status ArchiveStore::Delete(const std::string& name) const {
  CRYOPOD_RETURN_IF_ERROR(CheckArchiveName(name));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd partial, OpenPartialDirectory(dir_.get()));
  const Status removed = DeleteCommitted(dir_.get(), name, partial.get());
  if (removed.code() == Code::kNotFound) return NotInStore(name, root_);
  return removed.While("archive \"" + name + "\"");
}

Status ArchiveStore::RemoveLeftovers(const std::vector<std::string>& running) const {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd partial, OpenPartialDirectory(dir_.get()));
  return RemoveAbandonedIn(partial.get(), running).While("archive store " + root_);
}

}  // namespace cryopod::archive
