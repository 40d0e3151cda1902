#include "agent/criu/container_state.h"

#include <deque>
#include <filesystem>
#include <system_error>

#include "agent/json/value.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

namespace fs = std::filesystem;

// As many as the kernel follows in one lookup (path_resolution(7)).
constexpr int kSymlinksMax = 40;

void PutBefore(std::deque<fs::path>& rest, const fs::path& path) {
  const fs::path relative = path.relative_path();
  rest.insert(rest.begin(), relative.begin(), relative.end());
}

}  // namespace

Result<ContainerState> ParseContainerState(std::string_view text) {
  CRYOPOD_ASSIGN_OR_RETURN(const json::Value root, json::Parse(text));
  if (root.object() == nullptr) return Status(Code::kDataLoss, "no JSON object");
  const json::Value& config = root.At("config");

  ContainerState state;
  state.id = root.At("id").Text();
  const uint64_t init_pid = root.At("init_process_pid").Number();
  if (init_pid == 0 || init_pid > uint64_t{kPidMax}) {
    return Status(Code::kDataLoss, "init_process_pid is absent or no PID");
  }
  state.init_pid = static_cast<pid_t>(init_pid);
  state.init_start_ticks = root.At("init_process_start").Number();
  state.rootfs = config.At("rootfs").Text();
  if (!state.rootfs.starts_with('/')) {
    return Status(Code::kDataLoss, "config.rootfs is absent or no absolute path");
  }
  for (const json::Value& item : config.At("namespaces").Elements()) {
    state.namespace_paths[item.At("type").Text()] = item.At("path").Text();
  }
  for (const json::Value& item : config.At("mounts").Elements()) {
    state.mounts.push_back(
        {item.At("destination").Text(), item.At("source").Text(), item.At("device").Text()});
  }
  state.mask_paths = config.At("mask_paths").Texts();
  state.readonly_paths = config.At("readonly_paths").Texts();
  for (const json::Value& item : config.At("devices").Elements()) {
    state.device_paths.push_back(item.At("path").Text());
  }
  state.external_descriptors = root.At("external_descriptors").Texts();
  return state;
}

Result<ContainerState> ReadContainerState(const std::string& oci_runtime_root,
                                          const std::string& id) {
  if (!IsPlainName(id)) {
    return Status(Code::kInvalidArgument, "a container ID is one path component");
  }
  const std::string path = oci_runtime_root + "/" + id + "/state.json";
  Result<std::string> text = ReadFile(path);
  if (!text.ok()) {
    if (text.status().code() == Code::kNotFound) {
      return Status(Code::kNotFound,
                    "the OCI runtime knows no container " + id + " (" + path + ")");
    }
    return Status(Code::kDataLoss, text.status().message());
  }
  return ParseContainerState(*text).While("reading " + path);
}

std::string ResolveInRootfs(const std::string& rootfs, const std::string& path) {
  fs::path resolved = "/";
  std::deque<fs::path> rest;
  PutBefore(rest, path);
  int symlinks = 0;
  while (!rest.empty()) {
    const fs::path component = rest.front();
    rest.pop_front();
    if (component.empty() || component == ".") continue;
    if (component == "..") {
      resolved = resolved.parent_path();
      continue;
    }
    const fs::path next = resolved / component;
    std::error_code is_no_link;
    fs::path target;
    if (symlinks < kSymlinksMax) target = fs::read_symlink(rootfs + next.string(), is_no_link);
    if (target.empty()) {
      resolved = next;
      continue;
    }
    ++symlinks;
    if (target.is_absolute()) resolved = "/";
    PutBefore(rest, target);
  }
  return resolved;
}

std::string MountPointOf(const ContainerState& state, const OciMount& mount) {
  std::string destination = mount.destination;
  if (destination.starts_with(state.rootfs + "/")) destination.erase(0, state.rootfs.size());
  return ResolveInRootfs(state.rootfs, destination);
}

}  // namespace cryopod::criu
