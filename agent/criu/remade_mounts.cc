#include "agent/criu/remade_mounts.h"

#include <algorithm>
#include <array>

#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

constexpr std::array<std::string_view, 4> kRemadePlugins = {
    "kubernetes.io~configmap", "kubernetes.io~secret", "kubernetes.io~projected",
    "kubernetes.io~downward-api"};
constexpr std::array<std::string_view, 3> kSandboxFiles = {"hosts", "hostname", "resolv.conf"};

template <typename Names>
bool IsOneOf(std::string_view name, const Names& names) {
  return std::ranges::find(names, name) != names.end();
}

std::vector<std::string_view> Components(std::string_view path) {
  std::vector<std::string_view> components = Split(path, '/');
  std::erase(components, "");
  return components;
}

bool Matches(std::string_view name, const std::string& wanted) {
  return wanted.empty() ? !name.empty() : name == wanted;
}

// The components behind "pods/<UID>", wherever the kubelet keeps its directory; empty: none there.
std::vector<std::string_view> BehindPod(const std::vector<std::string_view>& components,
                                        const std::string& pod_uid) {
  for (size_t i = 0; i + 2 < components.size(); ++i) {
    if (components[i] == "pods" && Matches(components[i + 1], pod_uid)) {
      return {components.begin() + static_cast<std::ptrdiff_t>(i) + 2, components.end()};
    }
  }
  return {};
}

std::optional<RemadeKind> KindInPod(const std::vector<std::string_view>& tail) {
  if (tail.size() == 1 && tail[0] == "etc-hosts") return RemadeKind::kFile;
  if (tail.size() == 3 && tail[0] == "containers") return RemadeKind::kFile;
  if (tail.size() == 3 && tail[0] == "volumes" && IsRemadePlugin(tail[1])) {
    return RemadeKind::kVolume;
  }
  if (tail.size() == 4 && tail[0] == "volume-subpaths") return RemadeKind::kSubPath;
  return std::nullopt;
}

bool HasDots(const std::vector<std::string_view>& components) {
  return IsOneOf("..", components) || IsOneOf(".", components);
}

}  // namespace

bool IsMadeByContainerRuntime(std::string_view source, const PodPlaces& places) {
  const std::vector<std::string_view> components = Components(source);
  if (components.size() < 3 || HasDots(components)) return false;
  if (!IsOneOf(components.back(), kSandboxFiles)) return false;
  const auto directory = components.end() - 2;
  // CRI-O keeps them one folder deeper.
  const auto id = *directory == "userdata" ? directory - 1 : directory;
  return Matches(*id, places.sandbox_id);
}

bool IsRemadePlugin(std::string_view plugin) { return IsOneOf(plugin, kRemadePlugins); }

std::optional<VolumePath> VolumePathOf(std::string_view path) {
  const std::vector<std::string_view> components = Components(path);
  if (!path.starts_with('/') || HasDots(components)) return std::nullopt;
  for (size_t i = 0; i + 4 < components.size(); ++i) {
    if (components[i] != "pods" || components[i + 2] != "volumes") continue;
    const std::string_view name = components[i + 4];
    const size_t end = static_cast<size_t>(name.data() - path.data()) + name.size();
    VolumePath found{components[i + 3], name, path.substr(0, end), {}};
    if (end < path.size()) found.inside = path.substr(end + 1);
    return found;
  }
  return std::nullopt;
}

std::optional<RemadeKind> RemadeKindOf(std::string_view source, const PodPlaces& places) {
  const std::vector<std::string_view> components = Components(source);
  if (!source.starts_with('/') || HasDots(components)) return std::nullopt;
  const std::optional<RemadeKind> kind = KindInPod(BehindPod(components, places.pod_uid));
  if (kind) return kind;
  if (places.sandbox_id.empty() || !IsMadeByContainerRuntime(source, places)) return std::nullopt;
  return RemadeKind::kFile;
}

bool IsOfRemadeVolume(std::string_view source) {
  static constexpr std::string_view kFolder = "/volume-subpaths/";
  const size_t folder = source.rfind(kFolder);
  if (folder == std::string_view::npos) return false;
  const std::string_view behind = source.substr(folder + kFolder.size());
  const std::string volume(behind.substr(0, behind.find('/')));
  const std::string volumes = std::string(source.substr(0, folder)) + "/volumes/";
  return std::ranges::any_of(kRemadePlugins, [&](std::string_view plugin) {
    return PathExists(volumes + std::string(plugin) + "/" + volume);
  });
}

bool IsStampedName(std::string_view name) {
  // ".." and Go's "2006_01_02_15_04_05." and the digits of os.MkdirTemp.
  static constexpr std::string_view kShape = "..dddd_dd_dd_dd_dd_dd.";
  if (name.size() <= kShape.size()) return false;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (size_t i = 0; i < kShape.size(); ++i) {
    if (kShape[i] == 'd' ? !is_digit(name[i]) : name[i] != kShape[i]) return false;
  }
  return std::all_of(name.begin() + kShape.size(), name.end(), is_digit);
}

}  // namespace cryopod::criu
