#include "restore/adapt_mounts.h"

#include <algorithm>
#include <optional>

#include "agent/archive/unpack/unpack.h"
#include "agent/os/file.h"
#include "restore/stage_archive.h"

namespace cryopod::restore {
namespace {

using criu::RemadeKind;

std::optional<RemadeKind> KindOf(const std::string& source, const std::string& destination,
                                 const wrapper::Request& request,
                                 const archive::PodCheckpoint& checkpoint) {
  const criu::PodPlaces live{request.pod_uid, request.sandbox_id};
  const std::optional<RemadeKind> kind = criu::RemadeKindOf(source, live);
  if (!kind) return std::nullopt;
  if (*kind == RemadeKind::kSubPath && !criu::IsOfRemadeVolume(source)) return std::nullopt;
  const std::vector<archive::MountRecord>& records =
      RecordOf(checkpoint, request.container_name).mounts;
  const auto record = std::ranges::find(records, destination, &archive::MountRecord::destination);
  if (record == records.end()) {
    return criu::IsMadeByContainerRuntime(source, live) ? kind : std::nullopt;
  }
  const criu::PodPlaces recorded{checkpoint.pod_uid, checkpoint.sandbox_id};
  return criu::RemadeKindOf(record->source, recorded) == kind ? kind : std::nullopt;
}

}  // namespace

std::vector<criu::RemadeMount> FindRemadeMounts(const LiveMounts& live,
                                                const wrapper::Request& request,
                                                const archive::PodCheckpoint& checkpoint) {
  std::vector<criu::RemadeMount> found;
  for (const LiveMount& mount : live.mounts) {
    if (mount.type != "bind") continue;
    const std::optional<RemadeKind> kind =
        KindOf(mount.source, mount.destination, request, checkpoint);
    if (kind) found.push_back({*kind, MountPointOf(live, mount)});
  }
  return found;
}

Status AdaptToRequest(const jobs::RestoreJob& job, const archive::Archive& archive,
                      const wrapper::Request& request, const LiveMounts& live,
                      criu::LiveRules rules, const std::string& images_dir, Deadline deadline) {
  rules.replaces_filter =
      RecordOf(archive.checkpoint(), request.container_name).program.runtime_filter;
  rules.remade = FindRemadeMounts(live, request, archive.checkpoint());
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(images_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::UnpackLimits limits, StagingLimits(archive.checkpoint()));
  return archive::RewriteImages(job.unpack_program, criu::FormatLiveRules(rules), dir.get(), limits,
                                deadline)
      .While("adapting container " + request.container_name + " to the new pod");
}

}  // namespace cryopod::restore
