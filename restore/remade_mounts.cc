#include "restore/remade_mounts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/archive/unpack.h"
#include "agent/criu/dump_options.h"
#include "agent/os/file.h"
#include "restore/stage_archive.h"

namespace cryopod::restore {
namespace {

using criu::RemadeKind;
using nlohmann::json;

constexpr size_t kConfigBytesMax = size_t{8} << 20;

std::string Text(const json& object, const char* name) {
  if (!object.is_object()) return "";
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool IsBind(const json& mount) {
  if (Text(mount, "type") == "bind") return true;
  const auto options = mount.find("options");
  return options != mount.end() && options->is_array() &&
         std::any_of(options->begin(), options->end(),
                     [](const json& option) { return option == "bind" || option == "rbind"; });
}

const archive::MountRecord* FindRecord(const archive::PodCheckpoint& checkpoint,
                                       const std::string& container,
                                       const std::string& destination) {
  for (const archive::ContainerCheckpoint& entry : checkpoint.containers) {
    if (entry.name != container) continue;
    for (const archive::MountRecord& mount : entry.mounts) {
      if (mount.destination == destination) return &mount;
    }
  }
  return nullptr;
}

bool IsOfRemadeVolume(const std::string& source) {
  const std::vector<std::string> volumes = criu::VolumesOfSubPath(source);
  return std::any_of(volumes.begin(), volumes.end(), PathExists);
}

std::optional<RemadeKind> KindOf(const std::string& source, const std::string& destination,
                                 const runtime::Request& request,
                                 const archive::PodCheckpoint& checkpoint) {
  const criu::PodPlaces live{request.pod_uid, request.sandbox_id};
  const std::optional<RemadeKind> kind = criu::RemadeKindOf(source, live);
  if (!kind) return std::nullopt;
  if (*kind == RemadeKind::kSubPath && !IsOfRemadeVolume(source)) return std::nullopt;
  const archive::MountRecord* record = FindRecord(checkpoint, request.container_name, destination);
  if (record == nullptr) {
    return criu::IsMadeByRuntime(source, live) ? kind : std::nullopt;
  }
  const criu::PodPlaces recorded{checkpoint.pod_uid, checkpoint.sandbox_id};
  return criu::RemadeKindOf(record->source, recorded) == kind ? kind : std::nullopt;
}

}  // namespace

Result<std::vector<criu::RemadeMount>> FindRemadeMounts(std::string_view config_json,
                                                        const runtime::Request& request,
                                                        const archive::PodCheckpoint& checkpoint) {
  const json config = json::parse(config_json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return Status(Code::kDataLoss, "config.json of the bundle is no OCI configuration");
  }
  std::vector<criu::RemadeMount> found;
  const auto mounts = config.find("mounts");
  if (mounts == config.end() || !mounts->is_array()) return found;
  for (const json& mount : *mounts) {
    if (!mount.is_object() || !IsBind(mount)) continue;
    const std::string destination = Text(mount, "destination");
    const std::optional<RemadeKind> kind =
        KindOf(Text(mount, "source"), destination, request, checkpoint);
    if (!kind) continue;
    found.push_back({*kind, criu::ResolveInRootfs(request.rootfs, destination)});
  }
  return found;
}

Status AdaptToRemadeMounts(const RestoreJob& job, const archive::Archive& archive,
                           const runtime::Request& request, const std::string& images_dir,
                           Deadline deadline) {
  const std::string doing = "adapting container " + request.container_name + " to the new pod";
  CRYOPOD_ASSIGN_OR_RETURN(const std::string config,
                           ReadFile(request.bundle + "/config.json", kConfigBytesMax).While(doing));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<criu::RemadeMount> mounts,
                           FindRemadeMounts(config, request, archive.checkpoint()).While(doing));
  if (mounts.empty()) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(images_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::UnpackLimits limits, StagingLimits(archive.checkpoint()));
  return archive::RewriteImages(job.unpack_program, criu::FormatRemadeMounts(mounts), dir.get(),
                                limits, deadline)
      .While(doing);
}

}  // namespace cryopod::restore
