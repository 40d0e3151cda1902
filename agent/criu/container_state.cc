#include "agent/criu/container_state.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/os/file.h"

namespace cryopod::criu {
namespace {

using Json = nlohmann::json;

// The members of a JSON object without exceptions: what is absent, null or of another type reads as
// empty. Whether something must be there is for the caller to say.
const Json& Member(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

std::string TextOf(const Json& value) {
  const auto* text = value.get_ptr<const std::string*>();
  return text == nullptr ? std::string() : *text;
}

std::string Text(const Json& object, const char* key) { return TextOf(Member(object, key)); }

uint64_t Number(const Json& object, const char* key) {
  const Json& value = Member(object, key);
  return value.is_number_unsigned() ? value.get<uint64_t>() : 0;
}

std::vector<std::string> TextList(const Json& object, const char* key) {
  std::vector<std::string> list;
  const Json& value = Member(object, key);
  if (!value.is_array()) return list;
  for (const Json& item : value) list.push_back(TextOf(item));
  return list;
}

std::map<std::string, std::string> TextMap(const Json& object, const char* key) {
  std::map<std::string, std::string> map;
  const Json& value = Member(object, key);
  if (!value.is_object()) return map;
  for (const auto& [name, item] : value.items()) map[name] = TextOf(item);
  return map;
}

std::vector<RuntimeMount> Mounts(const Json& config) {
  constexpr uint64_t kMsRdonly = 1;
  std::vector<RuntimeMount> mounts;
  const Json& list = Member(config, "mounts");
  if (!list.is_array()) return mounts;
  for (const Json& item : list) {
    RuntimeMount mount;
    mount.destination = Text(item, "destination");
    mount.source = Text(item, "source");
    mount.device = Text(item, "device");
    mount.read_only = (Number(item, "flags") & kMsRdonly) != 0;
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

std::map<std::string, std::string> Namespaces(const Json& config) {
  std::map<std::string, std::string> paths;
  const Json& list = Member(config, "namespaces");
  if (!list.is_array()) return paths;
  for (const Json& item : list) paths[Text(item, "type")] = Text(item, "path");
  return paths;
}

std::vector<std::string> DevicePaths(const Json& config) {
  std::vector<std::string> paths;
  const Json& list = Member(config, "devices");
  if (!list.is_array()) return paths;
  for (const Json& item : list) paths.push_back(Text(item, "path"));
  return paths;
}

bool IsDirectoryName(const std::string& id) {
  return !id.empty() && id != "." && id != ".." && id.find('/') == std::string::npos &&
         id.find('\0') == std::string::npos;
}

}  // namespace

Result<ContainerState> ParseContainerState(std::string_view json) {
  const Json root = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return Status(Code::kDataLoss, "no JSON object");
  const Json& config = Member(root, "config");

  ContainerState state;
  state.id = Text(root, "id");
  const uint64_t init_pid = Number(root, "init_process_pid");
  constexpr uint64_t kPidMax = 1u << 22;  // PID_MAX_LIMIT of 64-bit kernels
  if (init_pid == 0 || init_pid > kPidMax) {
    return Status(Code::kDataLoss, "init_process_pid is absent or no PID");
  }
  state.init_pid = static_cast<pid_t>(init_pid);
  state.init_start_ticks = Number(root, "init_process_start");
  state.rootfs = Text(config, "rootfs");
  if (state.rootfs.empty() || state.rootfs.front() != '/') {
    return Status(Code::kDataLoss, "config.rootfs is absent or no absolute path");
  }
  state.namespace_paths = Namespaces(config);
  state.mounts = Mounts(config);
  state.cgroup_paths = TextMap(root, "cgroup_paths");
  state.mask_paths = TextList(config, "mask_paths");
  state.readonly_paths = TextList(config, "readonly_paths");
  state.device_paths = DevicePaths(config);
  state.external_descriptors = TextList(root, "external_descriptors");
  return state;
}

Result<ContainerState> ReadContainerState(const std::string& runtime_root, const std::string& id) {
  if (!IsDirectoryName(id)) {
    return Status(Code::kInvalidArgument, "a container ID is one path component");
  }
  const std::string path = runtime_root + "/" + id + "/state.json";
  Result<std::string> text = ReadFile(path);
  if (!text.ok()) {
    if (text.status().code() == Code::kNotFound) {
      return Status(Code::kNotFound, "the runtime knows no container " + id + " (" + path + ")");
    }
    return Status(Code::kDataLoss, text.status().message());
  }
  return ParseContainerState(*text).While("reading " + path);
}

}  // namespace cryopod::criu
