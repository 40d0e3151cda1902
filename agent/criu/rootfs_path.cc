#include "agent/criu/rootfs_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <deque>
#include <string>
#include <vector>

namespace cryopod::criu {
namespace {

// As many as the kernel follows in one lookup (path_resolution(7)).
constexpr int kSymlinksMax = 40;

std::deque<std::string> Components(const std::string& path) {
  std::deque<std::string> components;
  size_t start = 0;
  while (start < path.size()) {
    size_t end = path.find('/', start);
    if (end == std::string::npos) end = path.size();
    if (end > start && path.compare(start, end - start, ".") != 0) {
      components.push_back(path.substr(start, end - start));
    }
    start = end + 1;
  }
  return components;
}

std::string Join(const std::vector<std::string>& components) {
  if (components.empty()) return "/";
  std::string path;
  for (const std::string& component : components) path += "/" + component;
  return path;
}

// Empty when `path` is no symlink.
std::string LinkTarget(const std::string& path) {
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  if (length <= 0) return {};
  target.resize(static_cast<size_t>(length));
  return target;
}

}  // namespace

std::string ResolveInRootfs(const std::string& rootfs, const std::string& path) {
  std::vector<std::string> resolved;
  std::deque<std::string> rest = Components(path);
  int symlinks = 0;
  while (!rest.empty()) {
    const std::string component = rest.front();
    rest.pop_front();
    if (component == "..") {
      if (!resolved.empty()) resolved.pop_back();
      continue;
    }
    resolved.push_back(component);
    const std::string target =
        symlinks < kSymlinksMax ? LinkTarget(rootfs + Join(resolved)) : std::string();
    if (target.empty()) continue;
    ++symlinks;
    resolved.pop_back();
    if (target.front() == '/') resolved.clear();
    const std::deque<std::string> inserted = Components(target);
    rest.insert(rest.begin(), inserted.begin(), inserted.end());
  }
  return Join(resolved);
}

std::string MountPointOf(const ContainerState& state, const OciMount& mount) {
  std::string destination = mount.destination;
  if (destination.starts_with(state.rootfs + "/")) destination.erase(0, state.rootfs.size());
  return ResolveInRootfs(state.rootfs, destination);
}

}  // namespace cryopod::criu
