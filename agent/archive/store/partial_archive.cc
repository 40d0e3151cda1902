#include "agent/archive/store/partial_archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/archive/store/archive_reader.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::archive {
namespace {

constexpr char kPartialName[] = ".partial";

Status Lock(int fd) {
  while (::flock(fd, LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "flock", kPartialName);
  }
  return Status();
}

// False: a living process has it.
Result<bool> TryLock(int fd, int how, const std::string& name) {
  while (::flock(fd, how | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) return ErrnoStatus(errno, "flock", name);
  }
  return true;
}

// Held while names are claimed or taken away: between mkdir and flock a claim looks abandoned.
Result<UniqueFd> LockPartialDirectory(int partial_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd lock, OpenAt(partial_dir_fd, ".", O_RDONLY | O_DIRECTORY));
  CRYOPOD_RETURN_IF_ERROR(Lock(lock.get()));
  return lock;
}

std::string GoneName() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) {
    number = static_cast<uint64_t>(::getpid());
  }
  return ".gone-" + std::to_string(number);
}

bool ExistsAt(int dir_fd, const std::string& name) {
  struct stat attributes {};
  return ::fstatat(dir_fd, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) == 0;
}

// Removes the directory when no living process holds it. False: one does.
Result<bool> RemoveIfAbandoned(int partial_dir_fd, const std::string& name) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir,
                           OpenAt(partial_dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CRYOPOD_ASSIGN_OR_RETURN(const bool is_abandoned, TryLock(dir.get(), LOCK_EX, name));
  if (!is_abandoned) return false;
  CRYOPOD_RETURN_IF_ERROR(RemoveThroughPartial(partial_dir_fd, name, partial_dir_fd));
  return true;
}

// Gone at once and whatever happens, and only its bytes still there.
Result<std::string> MoveAway(int from_dir_fd, const std::string& name, int partial_dir_fd) {
  std::string gone = GoneName();
  if (::renameat(from_dir_fd, name.c_str(), partial_dir_fd, gone.c_str()) != 0) {
    return ErrnoStatus(errno, "renameat", name);
  }
  CRYOPOD_RETURN_IF_ERROR(Sync(from_dir_fd, "directory of " + name));
  return gone;
}

}  // namespace

Result<UniqueFd> OpenPartialDirectory(int store_dir_fd) {
  if (::mkdirat(store_dir_fd, kPartialName, 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "mkdirat", kPartialName);
  }
  return OpenAt(store_dir_fd, kPartialName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Status RemoveThroughPartial(int from_dir_fd, const std::string& name, int partial_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string gone, MoveAway(from_dir_fd, name, partial_dir_fd));
  return RemoveTreeAt(partial_dir_fd, gone);
}

Result<UniqueFd> LeaseCommitted(int store_dir_fd, const std::string& name, int partial_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd turn, LockPartialDirectory(partial_dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd dir,
                           OpenAt(store_dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CRYOPOD_ASSIGN_OR_RETURN(const bool is_leased, TryLock(dir.get(), LOCK_SH, name));
  if (is_leased) return dir;
  return Status(Code::kAborted, "archive \"" + name + "\" is being written right now");
}

Status DeleteCommitted(int store_dir_fd, const std::string& name, int partial_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd turn, LockPartialDirectory(partial_dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir,
                           OpenAt(store_dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CRYOPOD_ASSIGN_OR_RETURN(const bool is_unused, TryLock(dir.get(), LOCK_EX, name));
  if (!is_unused) return Status(Code::kFailedPrecondition, "is being restored from", Reason::kBusy);
  CRYOPOD_ASSIGN_OR_RETURN(const std::string gone, MoveAway(store_dir_fd, name, partial_dir_fd));
  turn.Reset();
  return RemoveTreeAt(partial_dir_fd, gone);
}

Status RemoveAbandonedIn(int partial_dir_fd, const std::vector<std::string>& running) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd turn, LockPartialDirectory(partial_dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                           ListDirectory(partial_dir_fd));
  for (const DirectoryEntry& entry : entries) {
    if (std::find(running.begin(), running.end(), entry.name) != running.end()) continue;
    Status removed = entry.type == DT_DIR ? RemoveIfAbandoned(partial_dir_fd, entry.name).status()
                                          : RemoveTreeAt(partial_dir_fd, entry.name);
    // Another process may be removing the same.
    if (!removed.ok() && removed.code() != Code::kNotFound) return removed;
  }
  return Status();
}

Result<PartialArchive> PartialArchive::Claim(const ArchiveStore& store, const std::string& name) {
  CRYOPOD_RETURN_IF_ERROR(CheckArchiveName(name));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd store_dir, OpenAt(store.dir_fd(), ".", O_RDONLY | O_DIRECTORY));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd partial_dir, OpenPartialDirectory(store_dir.get()));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd lock, LockPartialDirectory(partial_dir.get()));
  if (ExistsAt(store_dir.get(), name)) {
    return Status(Code::kAlreadyExists,
                  "archive \"" + name + "\" exists already; delete it or choose another name");
  }
  // What a killed writer left stands in the way of a new one of the same name.
  if (ExistsAt(partial_dir.get(), name)) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool removed, RemoveIfAbandoned(partial_dir.get(), name));
    if (!removed) {
      return Status(Code::kAlreadyExists, "archive \"" + name + "\" is being written right now");
    }
  }
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(partial_dir.get(), name, 0700));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd layout_dir,
                           OpenAt(partial_dir.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CRYOPOD_RETURN_IF_ERROR(Lock(layout_dir.get()));
  return PartialArchive(name, std::move(store_dir), std::move(partial_dir), std::move(layout_dir));
}

PartialArchive::~PartialArchive() {
  if (published_ || !partial_dir_.valid()) return;
  // What cannot be removed now is a leftover for RemoveLeftovers.
  (void)RemoveThroughPartial(partial_dir_.get(), name_, partial_dir_.get()).ok();
}

Status PartialArchive::WriteIndex(const Descriptor& pod_index, Origin origin) const {
  for (const char* name : {kBlobsName, "blobs"}) {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir,
                             OpenBeneath(layout_dir_.get(), name, O_RDONLY | O_DIRECTORY));
    CRYOPOD_RETURN_IF_ERROR(Sync(dir.get(), name));
  }
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(layout_dir_.get(), kLayoutName, kLayoutJson));
  return WriteFileAtomically(layout_dir_.get(), kIndexName,
                             LayoutIndexJson(pod_index, name_, origin));
}

Status PartialArchive::Publish() {
  CRYOPOD_RETURN_IF_ERROR(Sync(layout_dir_.get(), name_));
  if (::renameat2(partial_dir_.get(), name_.c_str(), store_dir_.get(), name_.c_str(),
                  RENAME_NOREPLACE) != 0) {
    return ErrnoStatus(errno, "renameat2", name_);
  }
  published_ = true;
  // It is anybody's from now on, also while its writer lives.
  static_cast<void>(::flock(layout_dir_.get(), LOCK_UN));
  Status synced = Sync(store_dir_.get(), "the store");
  if (synced.ok()) synced = Sync(partial_dir_.get(), kPartialName);
  if (synced.ok()) return Status();
  // Not durable is not there: the caller was told that it failed.
  if (::renameat(store_dir_.get(), name_.c_str(), partial_dir_.get(), name_.c_str()) == 0) {
    published_ = false;
  }
  return synced;
}

}  // namespace cryopod::archive
