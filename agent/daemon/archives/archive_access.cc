#include "agent/daemon/archives/archive_access.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "agent/os/confinement.h"
#include "agent/os/log.h"
#include "agent/settings/checks.h"

namespace cryopod::daemon {
namespace {

// May a pod of namespace `pod` be restored from an archive of namespace `archive`?
bool MayRestore(const settings::AgentSettings& config, const std::string& archive,
                const std::string& pod) {
  if (archive == pod) return true;
  const std::vector<std::string_view> pairs = settings::SplitPairs(config.restore_namespaces);
  return std::find(pairs.begin(), pairs.end(), archive + ":" + pod) != pairs.end();
}

Status NoneForNamespace(const settings::AgentSettings& config, const std::string& name,
                        const std::string& pod_namespace) {
  return Status(Code::kNotFound,
                "archive \"" + name + "\" is not in the store " + config.store_root() +
                    ", or not for pods of namespace " + JsonEscape(pod_namespace) +
                    " (an archive is restored in its own namespace; restore_namespaces in "
                    "cryopod.toml names others)");
}

}  // namespace

Result<archive::Archive> OpenArchive(const settings::AgentSettings& config,
                                     const std::string& reference) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference parsed,
                           archive::ParseArchiveReference(reference));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  return store.OpenArchive(parsed);
}

Status CheckNamespace(const settings::AgentSettings& config, const archive::Archive& archive,
                      const std::string& pod_namespace) {
  const std::string& owner = archive.checkpoint().pod_namespace;
  if (MayRestore(config, owner, pod_namespace)) {
    // Whoever looks for it later finds who may have woken up with whose memory.
    if (owner != pod_namespace) {
      Log(LogLevel::kInfo, "another namespace's archive is given, as the configuration allows",
          {{"archive", archive.name()},
           {"digest", archive.digest()},
           {"of", owner},
           {"for", pod_namespace}});
    }
    return Status();
  }
  // The node's operator may know what the pod's owner may not.
  Log(LogLevel::kWarning, "a pod asks for another namespace's archive",
      {{"archive", archive.name()}, {"of", owner}, {"for", pod_namespace}});
  return NoneForNamespace(config, archive.name(), pod_namespace);
}

Result<archive::Archive> OpenArchiveFor(const settings::AgentSettings& config,
                                        const std::string& reference,
                                        const std::string& pod_namespace) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference parsed,
                           archive::ParseArchiveReference(reference));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  // Its digest is compared last: a refusal that names it would tell of the archive.
  const Result<archive::Archive> any = store.OpenArchive({parsed.name, ""});
  if (any.status().code() == Code::kNotFound) {
    return NoneForNamespace(config, parsed.name, pod_namespace);
  }
  if (!any.ok()) return any.status();
  CRYOPOD_RETURN_IF_ERROR(CheckNamespace(config, *any, pod_namespace));
  CRYOPOD_RETURN_IF_ERROR(CheckOrigin(config, *any));
  return store.OpenArchive(parsed);
}

Status CheckForeignArchives(const settings::AgentSettings& config) {
  if (config.import_without_landlock) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const int landlock, LandlockVersion());
  if (landlock > 0) return Status();
  return Status(
      Code::kFailedPrecondition,
      "archives of other nodes are not read here: this kernel has no Landlock to confine "
      "the program that does; boot one that has it, or set import_without_landlock = true "
      "in cryopod.toml");
}

Status CheckOrigin(const settings::AgentSettings& config, const archive::Archive& archive) {
  if (archive.origin() == archive::Origin::kThisNode) return Status();
  return CheckForeignArchives(config).While("archive \"" + archive.name() + "\" was imported");
}

}  // namespace cryopod::daemon
