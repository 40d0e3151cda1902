#include "restore/live_mounts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/criu/dump_options.h"
#include "agent/os/file.h"

namespace cryopod::restore {
namespace {

using nlohmann::json;

constexpr size_t kConfigBytesMax = size_t{8} << 20;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

LiveMount ReadMount(const json& entry, const std::string& rootfs) {
  LiveMount mount;
  mount.destination = Text(entry, "destination");
  mount.mount_point = criu::ResolveInRootfs(rootfs, mount.destination);
  mount.source = Text(entry, "source");
  mount.type = Text(entry, "type");
  const auto options = entry.find("options");
  if (options != entry.end() && options->is_array()) {
    for (const json& option : *options) {
      if (option.is_string()) mount.options.push_back(option.get<std::string>());
    }
  }
  mount.bind = mount.type == "bind" ||
               std::any_of(mount.options.begin(), mount.options.end(),
                           [](const auto& one) { return one == "bind" || one == "rbind"; });
  return mount;
}

}  // namespace

Result<std::vector<LiveMount>> ParseLiveMounts(std::string_view config_json,
                                               const std::string& rootfs) {
  const json config = json::parse(config_json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return Status(Code::kDataLoss, "config.json of the bundle is no OCI configuration");
  }
  std::vector<LiveMount> list;
  const auto mounts = config.find("mounts");
  if (mounts == config.end() || !mounts->is_array()) return list;
  for (const json& entry : *mounts) {
    if (entry.is_object()) list.push_back(ReadMount(entry, rootfs));
  }
  return list;
}

Result<std::vector<LiveMount>> ReadLiveMounts(const std::string& bundle,
                                              const std::string& rootfs) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string config,
                           ReadFile(bundle + "/config.json", kConfigBytesMax));
  return ParseLiveMounts(config, rootfs);
}

}  // namespace cryopod::restore
