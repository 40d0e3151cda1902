#include "agent/archive/store/archive_store.h"

#include <dirent.h>
#include <fcntl.h>

#include <chrono>
#include <utility>

#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/archive_reader.h"
#include "agent/archive/store/partial_archive.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/text.h"

namespace cryopod::archive {

Result<uint64_t> Archive::Verify(const std::function<void(uint64_t done, uint64_t total)>& progress,
                                 Deadline deadline) const {
  uint64_t done = 0;
  const auto advance = [&](uint64_t bytes) {
    done += bytes;
    if (progress) progress(done, size_bytes_);
  };
  for (const Descriptor& descriptor : blobs_) {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenBlob(descriptor));
    const std::string where = "archive \"" + name_ + "\": blob " + descriptor.digest;
    Result<HashedFile> hashed = HashFile(file.get(), advance, deadline);
    if (!hashed.ok()) return hashed.status().While(where);
    if (hashed->digest != descriptor.digest) {
      return Status(Code::kDataLoss, where + " has other bytes: it is damaged");
    }
  }
  return done;
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
  const std::string where = "archive \"" + name_ + "\": blob " + descriptor.digest;
  // As long as it takes: its length is known, and whoever waits has a deadline of its own.
  Result<HashedFile> hashed = HashFile(blob_fd, nullptr, Deadline::After(std::chrono::hours(24)));
  if (!hashed.ok()) return hashed.status().While(where);
  if (hashed->digest != descriptor.digest) {
    return Status(Code::kDataLoss, where + " has other bytes: it is damaged");
  }
  return Status();
}

Result<ArchiveStore> ArchiveStore::Open(const std::string& root) {
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(root).While("archive store"));
  ArchiveStore store;
  store.root_ = root;
  Result<UniqueFd> dir = OpenDirectory(root);
  if (!dir.ok()) return dir.status().While("archive store");
  store.dir_ = std::move(*dir);
  CRYOPOD_RETURN_IF_ERROR(
      OpenPartialDirectory(store.dir_.get()).status().While("archive store " + root));
  return store;
}

Result<std::vector<std::string>> ArchiveStore::List() const {
  Result<std::vector<DirectoryEntry>> entries = ListDirectory(dir_.get());
  if (!entries.ok()) return entries.status().While("archive store " + root_);
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : *entries) {
    if (entry.type == DT_DIR && CheckArchiveName(entry.name).ok()) names.push_back(entry.name);
  }
  return names;
}

Result<Archive> ArchiveStore::OpenArchive(const ArchiveReference& reference) const {
  CRYOPOD_RETURN_IF_ERROR(CheckArchiveName(reference.name));
  const std::string where = "archive \"" + reference.name + "\"";
  Result<UniqueFd> layout =
      OpenBeneath(dir_.get(), reference.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!layout.ok() && layout.status().code() == Code::kNotFound) {
    return Status(Code::kNotFound,
                  where + " is not in the store " + root_ + "; \"cryopodctl list\" shows what is");
  }
  if (!layout.ok()) return layout.status().While(where);
  Result<Archive> archive = OpenLayout(layout->get(), reference.name);
  if (!archive.ok()) return archive.status().While(where);
  if (!reference.digest.empty() && reference.digest != archive->digest()) {
    return Status(Code::kFailedPrecondition,
                  where + " has the digest " + archive->digest() + ", not " + reference.digest);
  }
  return archive;
}

Status ArchiveStore::Delete(const std::string& name) const {
  CRYOPOD_RETURN_IF_ERROR(CheckArchiveName(name));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd partial, OpenPartialDirectory(dir_.get()));
  const Status removed = RemoveThroughPartial(dir_.get(), name, partial.get());
  if (removed.code() == Code::kNotFound) {
    return Status(Code::kNotFound, "archive \"" + name + "\" is not in the store " + root_ +
                                       "; \"cryopodctl list\" shows what is");
  }
  return removed.While("archive \"" + name + "\"");
}

Status ArchiveStore::RemoveLeftovers(const std::vector<std::string>& running) const {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd partial, OpenPartialDirectory(dir_.get()));
  return RemoveAbandonedIn(partial.get(), running).While("archive store " + root_);
}

}  // namespace cryopod::archive
