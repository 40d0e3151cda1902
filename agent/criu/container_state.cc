#include "agent/criu/container_state.h"

#include <utility>

#include "agent/json/value.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"

namespace cryopod::criu {
namespace {

std::vector<OciMount> Mounts(const json::Value& config) {
  constexpr uint64_t kMsRdonly = 1;
  std::vector<OciMount> mounts;
  for (const json::Value& item : config.At("mounts").Elements()) {
    mounts.push_back({item.At("destination").Text(), item.At("source").Text(),
                      item.At("device").Text(), (item.At("flags").Number() & kMsRdonly) != 0});
  }
  return mounts;
}

bool IsDirectoryName(const std::string& id) {
  return !id.empty() && id != "." && id != ".." && id.find('/') == std::string::npos &&
         id.find('\0') == std::string::npos;
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
  if (state.rootfs.empty() || state.rootfs.front() != '/') {
    return Status(Code::kDataLoss, "config.rootfs is absent or no absolute path");
  }
  for (const json::Value& item : config.At("namespaces").Elements()) {
    state.namespace_paths[item.At("type").Text()] = item.At("path").Text();
  }
  state.mounts = Mounts(config);
  for (const json::Member& path : root.At("cgroup_paths").Members()) {
    state.cgroup_paths[path.key] = path.value.Text();
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
  if (!IsDirectoryName(id)) {
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

}  // namespace cryopod::criu
