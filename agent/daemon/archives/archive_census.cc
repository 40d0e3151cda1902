#include "agent/daemon/archives/archive_census.h"

#include <sys/stat.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "agent/archive/store/archive_store.h"

namespace cryopod::daemon {

ArchiveCensus::Identity ArchiveCensus::Identify(const std::string& archive) const {
  struct stat status {};
  if (::lstat((store_root_ + "/" + archive + "/index.json").c_str(), &status) != 0) return {};
  return {status.st_ino, int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

Result<metrics::StoreUsage> ArchiveCensus::Count() {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(store_root_));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> names, store.List());
  metrics::StoreUsage usage;
  std::map<std::string, metrics::NamespaceUsage> by_namespace;
  std::map<std::string, Entry> present;
  for (const std::string& name : names) {
    const auto known = known_.find(name);
    Entry entry{Identify(name), "", 0};
    if (known != known_.end() && known->second.identity == entry.identity) {
      entry = std::move(known->second);
    } else {
      const Result<archive::Archive> archive = store.OpenArchive({name, ""});
      if (!archive.ok()) {
        // One that was deleted since is no damage.
        if (archive.status().code() != Code::kNotFound) ++usage.damaged;
        continue;
      }
      entry.namespace_ = archive->checkpoint().pod_namespace;
      entry.size_bytes = archive->size_bytes();
    }
    metrics::NamespaceUsage& one = by_namespace[entry.namespace_];
    ++one.archives;
    one.size_bytes += entry.size_bytes;
    const bool identified = entry.identity != Identity();
    if (identified && present.size() < kKnownMax) present.emplace(name, std::move(entry));
  }
  known_ = std::move(present);
  for (auto& [name, one] : by_namespace) {
    one.name = name;
    usage.namespaces.push_back(std::move(one));
  }
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(store_root_, error);
  if (error) return ErrnoStatus(error.value(), "statvfs", store_root_);
  usage.free_bytes = space.available;
  usage.file_system_bytes = space.capacity;
  return usage;
}

}  // namespace cryopod::daemon
