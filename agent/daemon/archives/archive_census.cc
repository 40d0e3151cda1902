#include "agent/daemon/archives/archive_census.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "agent/archive/store/archive_store.h"

namespace cryopod::daemon {
namespace {

Status MeasureFileSystem(const std::string& path, metrics::StoreUsage& usage) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return ErrnoStatus(errno, "statvfs", path);
  usage.free_bytes = uint64_t{info.f_bavail} * uint64_t{info.f_frsize};
  usage.file_system_bytes = uint64_t{info.f_blocks} * uint64_t{info.f_frsize};
  return Status();
}

}  // namespace

Result<ArchiveCensus::Identity> ArchiveCensus::Identify(const std::string& archive) const {
  const std::string path = store_root_ + "/" + archive + "/index.json";
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return ErrnoStatus(errno, "lstat", path);
  const int64_t modified_ns =
      int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  return Identity{status.st_ino, modified_ns};
}

Result<metrics::StoreUsage> ArchiveCensus::Count() {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(store_root_));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> names, store.List());
  metrics::StoreUsage usage;
  std::map<std::string, metrics::NamespaceUsage> by_namespace;
  std::map<std::string, Entry> present;
  for (const std::string& name : names) {
    const Result<Identity> identity = Identify(name);
    const auto known = known_.find(name);
    Entry entry;
    if (identity.ok() && known != known_.end() && known->second.identity == *identity) {
      entry = std::move(known->second);
    } else {
      const Result<archive::Archive> archive = store.OpenArchive({name, ""});
      if (!archive.ok()) {
        // One that was deleted since is no damage.
        if (archive.status().code() != Code::kNotFound) ++usage.damaged;
        continue;
      }
      entry = {identity.ok() ? *identity : Identity(), archive->checkpoint().pod_namespace,
               archive->size_bytes()};
    }
    metrics::NamespaceUsage& one = by_namespace[entry.namespace_];
    ++one.archives;
    one.size_bytes += entry.size_bytes;
    if (identity.ok() && present.size() < kKnownMax) present.emplace(name, std::move(entry));
  }
  known_ = std::move(present);
  for (auto& [name, one] : by_namespace) {
    one.name = name;
    usage.namespaces.push_back(std::move(one));
  }
  CRYOPOD_RETURN_IF_ERROR(MeasureFileSystem(store_root_, usage));
  return usage;
}

}  // namespace cryopod::daemon
