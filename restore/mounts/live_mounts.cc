#include "restore/mounts/live_mounts.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "agent/criu/dump_options.h"
#include "agent/os/file.h"

namespace cryopod::restore {
namespace {

using nlohmann::json;

constexpr size_t kConfigBytesMax = size_t{8} << 20;

struct FlagOption {
  std::string_view sets;
  std::string_view clears;
  MountFlags flag;
};
constexpr std::array<FlagOption, 4> kFlagOptions = {{{"ro", "rw", MS_RDONLY},
                                                     {"nosuid", "suid", MS_NOSUID},
                                                     {"nodev", "dev", MS_NODEV},
                                                     {"noexec", "exec", MS_NOEXEC}}};

// An absent member is an empty object: the OCI specification leaves nearly all of them out.
const json& Member(const json& object, const char* name) {
  static const json kEmpty = json::object();
  if (!object.is_object()) return kEmpty;
  const auto found = object.find(name);
  return found != object.end() && !found->is_null() ? *found : kEmpty;
}

std::string Text(const json& object, const char* name) {
  const json& value = Member(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

uint32_t Number(const json& object, const char* name) {
  const json& value = Member(object, name);
  return value.is_number_unsigned() ? value.get<uint32_t>() : 0;
}

std::vector<std::string> TextList(const json& object, const char* name) {
  std::vector<std::string> list;
  const json& value = Member(object, name);
  if (!value.is_array()) return list;
  for (const json& item : value) {
    if (item.is_string()) list.push_back(item.get<std::string>());
  }
  return list;
}

bool IsOneOf(std::string_view word, const std::vector<std::string>& list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool Matches(const std::string& option, std::string_view word) {
  return option == word || (option.front() == 'r' && std::string_view(option).substr(1) == word);
}

LiveMount ParseMount(const json& mount) {
  const std::vector<std::string> options = TextList(mount, "options");
  LiveMount live;
  live.destination = Text(mount, "destination");
  live.type = Text(mount, "type");
  live.source = Text(mount, "source");
  live.flags = FlagsOf(options);
  if (IsOneOf("bind", options) || IsOneOf("rbind", options)) live.type = "bind";
  return live;
}

}  // namespace

std::string MountPointOf(const LiveMounts& live, const LiveMount& mount) {
  return criu::ResolveInRootfs(live.rootfs, mount.destination);
}

MountFlags FlagsOf(const std::vector<std::string>& options) {
  MountFlags flags = 0;
  for (const std::string& option : options) {
    if (option.empty()) continue;
    for (const FlagOption& known : kFlagOptions) {
      if (Matches(option, known.sets)) flags |= known.flag;
      if (Matches(option, known.clears)) flags &= ~known.flag;
    }
  }
  return flags;
}

std::string FlagNames(MountFlags flags) {
  std::string names;
  for (const FlagOption& known : kFlagOptions) {
    if ((flags & known.flag) == 0) continue;
    names += (names.empty() ? "" : ",") + std::string(known.sets);
  }
  return names;
}

Result<LiveMounts> ParseLiveMounts(std::string_view config_json, const std::string& rootfs) {
  const json config = json::parse(config_json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return Status(Code::kDataLoss, "config.json of the bundle is no OCI configuration");
  }
  LiveMounts live;
  live.rootfs = rootfs;
  const json& read_only = Member(Member(config, "root"), "readonly");
  live.read_only_root = read_only.is_boolean() && read_only.get<bool>();
  for (const json& mount : Member(config, "mounts")) live.mounts.push_back(ParseMount(mount));
  const json& linux_part = Member(config, "linux");
  live.masked_paths = TextList(linux_part, "maskedPaths");
  live.read_only_paths = TextList(linux_part, "readonlyPaths");
  for (const json& device : Member(linux_part, "devices")) {
    live.devices.push_back(
        {Text(device, "path"), Number(device, "major"), Number(device, "minor")});
  }
  return live;
}

Result<LiveMounts> ReadLiveMounts(const std::string& bundle, const std::string& rootfs) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(bundle + "/config.json", kConfigBytesMax));
  return ParseLiveMounts(text, rootfs);
}

}  // namespace cryopod::restore
