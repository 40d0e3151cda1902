#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/criu/container_state.h"
#include "agent/os/mount_info.h"

namespace cryopod::checkpoint {

// Whose content a mount of a container shows, and so what becomes of it in another pod.
enum class MountOrigin {
  kPodVolume,    // an emptyDir or git-repo volume: it ends with the pod
  kImageVolume,  // made by the runtime for a VOLUME of the image: it ends with the container
  kRemade,       // the kubelet or the runtime makes it anew for every pod
  kOutside,      // hostPath, persistent volume, CSI, …: it outlives the pod
};

// One bind mount of a container, placed by where it really leads: by file system and path within
// it, not by how the path looks that the runtime was told. A subPath, a bind of a bind and another
// name of the kubelet's directory all lead to the same volume.
struct PlacedMount {
  std::string mount_point;  // in the container, as mountinfo shows it
  std::string source;  // on the node; where the node shows it nowhere, what the runtime was told
  MountOrigin origin = MountOrigin::kOutside;
  // Of kPodVolume and kImageVolume: the volume's own directory on the node, and the mount's place
  // in it ("": the whole volume).
  std::string volume_dir;
  std::string path_in_volume;
};

// The mount that is seen at this place, of several the last one; nullptr: none.
const MountEntry* MountedAt(const std::string& mount_point, const std::vector<MountEntry>& mounts);

// Pure. The paths at which the node shows what `entry` shows: one for every mount of the node that
// holds this part of the file system. A later mount may cover one of them.
std::vector<std::string> NodePathsOf(const MountEntry& entry,
                                     const std::vector<MountEntry>& node_mounts);

// The bind mounts of a container, in the order in which its runtime made them; /dev/shm is none, it
// belongs to the pod's IPC.
// Source  kubernetes 1.36, pkg/volume/util/subpath/subpath_linux.go (doBindSubPath),
//         containerd 2.1, internal/cri/server/container_create.go (volumeMounts).
std::vector<PlacedMount> PlaceMounts(const criu::ContainerState& state,
                                     const std::string& sandbox_id,
                                     const std::vector<MountEntry>& mounts,
                                     const std::vector<MountEntry>& node_mounts);

}  // namespace cryopod::checkpoint
