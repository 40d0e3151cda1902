#include "restore/open_archive.h"

#include <utility>

namespace cryopod::restore {

Result<archive::Archive> OpenArchiveOf(const jobs::RestoreJob& job) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(job.store_root));
  Result<archive::Archive> archive = store.OpenArchive({job.archive, job.digest});
  if (!archive.ok()) return archive.status();
  if (archive->containers().empty()) {
    return Status(Code::kDataLoss, "archive " + job.archive + " holds no container");
  }
  return archive;
}

}  // namespace cryopod::restore
