#include "agent/checkpoint/mount_origin.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "agent/criu/container_state.h"
#include "agent/criu/remade_mounts.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

constexpr std::array<std::string_view, 2> kPodPlugins = {"kubernetes.io~empty-dir",
                                                         "kubernetes.io~git-repo"};
constexpr std::string_view kSubPaths = "/volume-subpaths/";
// Behind the root of a mount whose directory was removed meanwhile.
constexpr std::string_view kDeletedRoot = "//deleted";

std::string_view WithoutMark(std::string_view root) {
  return root.ends_with(kDeletedRoot) ? root.substr(0, root.size() - kDeletedRoot.size()) : root;
}

// ".../containers/<ID>/volumes/<hash>": containerd's copy of what the image has there.
bool PlaceInImageVolume(std::string_view path, std::string_view container_id, PlacedMount& placed) {
  const std::string folder = "/" + std::string(container_id) + "/volumes/";
  const size_t at = path.find(folder);
  if (at == std::string_view::npos) return false;
  const size_t begin = at + folder.size();
  const size_t end = std::min(path.find('/', begin), path.size());
  if (end == begin) return false;
  placed.origin = MountOrigin::kImageVolume;
  placed.volume_dir = path.substr(0, end);
  placed.path_in_volume = end < path.size() ? path.substr(end + 1) : "";
  return true;
}

// A subPath whose volume no mount of the node shows: the name of its folder is the volume's.
bool PlaceBySubPathFolder(std::string_view path, PlacedMount& placed) {
  const size_t folder = path.rfind(kSubPaths);
  if (folder == std::string_view::npos) return false;
  const size_t begin = folder + kSubPaths.size();
  const std::string volume(path.substr(begin, path.find('/', begin) - begin));
  for (const std::string_view plugin : kPodPlugins) {
    std::string directory =
        std::string(path.substr(0, folder)) + "/volumes/" + std::string(plugin) + "/" + volume;
    if (!PathExists(directory)) continue;
    placed.origin = MountOrigin::kPodVolume;
    placed.volume_dir = std::move(directory);
    return true;
  }
  return false;
}

bool PlaceInPodVolume(std::string_view path, PlacedMount& placed) {
  const std::optional<criu::VolumePath> volume = criu::VolumePathOf(path);
  if (!volume || std::ranges::find(kPodPlugins, volume->plugin) == kPodPlugins.end()) {
    return PlaceBySubPathFolder(path, placed);
  }
  placed.origin = MountOrigin::kPodVolume;
  placed.volume_dir = volume->directory;
  placed.path_in_volume = volume->inside;
  return true;
}

bool IsRemade(std::string_view path, const std::string& sandbox_id) {
  const std::optional<criu::VolumePath> volume = criu::VolumePathOf(path);
  if (volume) return criu::IsRemadePlugin(volume->plugin);
  const std::optional<criu::RemadeKind> kind = criu::RemadeKindOf(path, {"", sandbox_id});
  return kind && (*kind != criu::RemadeKind::kSubPath || criu::IsOfRemadeVolume(path));
}

// What would be lost outranks what would not, whichever name of the place tells.
void Classify(const std::vector<std::string>& paths, const std::string& container_id,
              const std::string& sandbox_id, PlacedMount& placed) {
  for (const std::string& path : paths) {
    if (PlaceInPodVolume(path, placed)) return;
  }
  for (const std::string& path : paths) {
    if (PlaceInImageVolume(path, container_id, placed)) return;
  }
  for (const std::string& path : paths) {
    if (IsRemade(path, sandbox_id)) placed.origin = MountOrigin::kRemade;
  }
}

}  // namespace

const MountEntry* MountedAt(const std::string& mount_point, const std::vector<MountEntry>& mounts) {
  const MountEntry* found = nullptr;
  for (const MountEntry& entry : mounts) {
    if (entry.mount_point == mount_point) found = &entry;
  }
  return found;
}

std::vector<std::string> NodePathsOf(const MountEntry& entry,
                                     const std::vector<MountEntry>& node_mounts) {
  std::vector<std::string> paths;
  for (const MountEntry& mount : node_mounts) {
    const std::string_view root = WithoutMark(mount.root);
    const std::string_view place = WithoutMark(entry.root);
    if (mount.device != entry.device || !IsAtOrBelow(place, root)) continue;
    std::string path = mount.mount_point == "/" ? "" : mount.mount_point;
    if (place != "/") path += root == "/" ? place : place.substr(root.size());
    if (path.empty()) path = "/";
    paths.push_back(std::move(path));
  }
  return paths;
}

std::vector<PlacedMount> PlaceMounts(const criu::ContainerState& state,
                                     const std::string& sandbox_id,
                                     const std::vector<MountEntry>& mounts,
                                     const std::vector<MountEntry>& node_mounts) {
  std::vector<PlacedMount> placed;
  for (const criu::OciMount& declared : state.mounts) {
    if (declared.device != "bind") continue;
    const std::string mount_point = criu::MountPointOf(state, declared);
    const MountEntry* const entry = MountedAt(mount_point, mounts);
    if (entry == nullptr || mount_point == "/dev/shm") continue;
    std::vector<std::string> paths = NodePathsOf(*entry, node_mounts);
    // Also what the runtime was told: a volume may be mounted where this process does not see it.
    paths.push_back(declared.source);
    PlacedMount mount;
    mount.mount_point = mount_point;
    mount.source = paths.front();
    Classify(paths, state.id, sandbox_id, mount);
    placed.push_back(std::move(mount));
  }
  return placed;
}

}  // namespace cryopod::checkpoint
