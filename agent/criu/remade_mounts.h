#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

// Mounts that a kubelet, or the container runtime for it, makes anew for every pod: in another pod
// they come from other paths and hold other files of other sizes. What a process had open behind
// one of them is found again by its name, never by its size or its old place.
//
// Source  kubernetes 1.36, pkg/kubelet/kubelet_getters.go, kubelet_pods.go (makeHostsMount),
//         kuberuntime_container.go (makeMounts), pkg/volume/util/atomic_writer.go, subpath;
//         containerd 2.1, internal/cri/server/helpers.go (getSandboxHosts and the like).
namespace cryopod::criu {

enum class RemadeKind {
  // etc-hosts, the termination log; hosts, hostname and resolv.conf of the sandbox
  kFile,
  kSubPath,  // one path out of a volume, bound to a place of its own
  // configMap, secret, projected, downward API: ..data leads to a directory with a time
  kVolume,
};

struct RemadeMount {
  RemadeKind kind = RemadeKind::kFile;
  std::string mount_point;  // in the container, as mountinfo shows it

  bool operator==(const RemadeMount&) const = default;
};

struct PodPlaces {
  std::string pod_uid;     // empty: of any pod
  std::string sandbox_id;  // empty: of any sandbox
};

// A path of the node in or at one volume of a pod, as the kubelet lays them out.
struct VolumePath {
  std::string_view plugin;     // "kubernetes.io~empty-dir"
  std::string_view name;       // of the volume
  std::string_view directory;  // the volume's own: <kubelet>/pods/<UID>/volumes/<plugin>/<name>
  std::string_view inside;     // from there, without a slash before; empty: the volume itself
};
// Pure. Views into `path`; nullopt: no volume of a pod.
std::optional<VolumePath> VolumePathOf(std::string_view path);
// configMap, secret, projected, downward API.
bool IsRemadePlugin(std::string_view plugin);

// What is made anew where `source`, a path of the node, is mounted; nullopt: nothing.
std::optional<RemadeKind> RemadeKindOf(std::string_view source, const PodPlaces& places);
// Is it one that the container runtime makes, of which the kubelet says nothing?
bool IsMadeByContainerRuntime(std::string_view source, const PodPlaces& places);
// Is the volume of a kSubPath on this node one that is made anew? A volume of any other kind has
// its subPaths at the same place.
bool IsOfRemadeVolume(std::string_view source);

// "..2026_11_25_02_04_14.2116331833": the name that the kubelet's atomic writer gives a directory.
bool IsStampedName(std::string_view name);

}  // namespace cryopod::criu
