#include "agent/daemon/archives/archive_transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "agent/archive/store/export_container.h"
#include "agent/archive/store/oci_archive.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::daemon {
namespace {

constexpr std::chrono::seconds kTransferTimeout{3600};

}  // namespace

Status ExportArchive(const settings::AgentSettings& config, const archive::Archive& archive,
                     const std::string& container, const archive::ByteSink& sink) {
  if (container.empty()) return archive::ExportOciArchive(archive, sink);
  const std::string scratch = config.state_dir + "/scratch";
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(scratch, 0700));
  return archive::ExportContainerTar(archive, container, config.unpack_program(), scratch, sink,
                                     Deadline::After(kTransferTimeout));
}

Result<archive::Archive> ImportArchive(const settings::AgentSettings& config,
                                       const std::string& name, const ByteSource& source) {
  CRYOPOD_RETURN_IF_ERROR(archive::CheckArchiveName(name));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  // Without a name in the file system, so that nothing is left of it whatever happens.
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd spool,
                           OpenAt(AT_FDCWD, config.store_root(), O_TMPFILE | O_RDWR, 0600));
  for (std::string bytes; source(bytes);) {
    CRYOPOD_RETURN_IF_ERROR(WriteAll(spool.get(), bytes).While("receiving archive " + name));
  }
  if (::lseek(spool.get(), 0, SEEK_SET) < 0) return ErrnoStatus(errno, "lseek", "spool");
  return archive::ImportOciArchive(store, name, spool.get(), config.unpack_program(),
                                   Deadline::After(kTransferTimeout));
}

}  // namespace cryopod::daemon
