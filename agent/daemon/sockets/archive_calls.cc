#include "agent/daemon/sockets/archive_calls.h"

#include <chrono>

#include "agent/os/text.h"

namespace cryopod::daemon {
namespace {

constexpr std::chrono::seconds kVerifyTimeout{3600};

}  // namespace

api::ArchiveSummary Summarize(const archive::Archive& archive) {
  const archive::PodCheckpoint& checkpoint = archive.checkpoint();
  api::ArchiveSummary summary;
  summary.name = archive.name();
  summary.digest = archive.digest();
  summary.pod_namespace = checkpoint.pod_namespace;
  summary.pod = checkpoint.pod_name;
  summary.pod_uid = checkpoint.pod_uid;
  summary.created = checkpoint.created;
  summary.size_bytes = archive.size_bytes();
  for (const auto& container : checkpoint.containers) summary.containers.push_back(container.name);
  return summary;
}

Result<archive::Archive> OpenNamed(const settings::AgentSettings& config, const std::string& text) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference reference,
                           archive::ParseArchiveReference(text));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  return store.OpenArchive(reference);
}

Result<std::vector<api::ArchiveSummary>> ListArchives(const settings::AgentSettings& config,
                                                      const std::string& pod_namespace) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> names, store.List());
  std::vector<api::ArchiveSummary> list;
  for (const std::string& name : names) {
    const Result<archive::Archive> archive = store.OpenArchive({name, ""});
    if (!archive.ok()) {
      api::ArchiveSummary& damaged = list.emplace_back();
      damaged.name = name;
      // A stranger's bytes may be in it, and a protobuf string must be UTF-8.
      damaged.damage = Printable(archive.status().message());
    } else if (pod_namespace.empty() || pod_namespace == archive->checkpoint().pod_namespace) {
      list.push_back(Summarize(*archive));
    }
  }
  return list;
}

Result<api::Inspection> InspectArchive(const settings::AgentSettings& config,
                                       const std::string& archive) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::Archive opened, OpenNamed(config, archive));
  return api::Inspection{Summarize(opened), archive::ToJson(opened.checkpoint())};
}

Result<api::Verification> VerifyArchive(const settings::AgentSettings& config,
                                        const std::string& archive) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::Archive opened, OpenNamed(config, archive));
  CRYOPOD_RETURN_IF_ERROR(
      opened.Verify(Deadline::After(kVerifyTimeout)).While("verifying archive " + opened.name()));
  return api::Verification{opened.digest(), opened.blobs().size(), opened.size_bytes()};
}

Status DeleteArchive(const settings::AgentSettings& config, const std::string& archive) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference reference,
                           archive::ParseArchiveReference(archive));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  if (!reference.digest.empty()) CRYOPOD_RETURN_IF_ERROR(store.OpenArchive(reference).status());
  return store.Delete(reference.name);
}

}  // namespace cryopod::daemon
