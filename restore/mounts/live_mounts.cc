#include "restore/mounts/live_mounts.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>

#include "agent/criu/container_state.h"
#include "agent/os/file.h"

namespace cryopod::restore {
namespace {

struct FlagOption {
  std::string_view sets;
  std::string_view clears;
  MountFlags flag;
};
constexpr std::array<FlagOption, 4> kFlagOptions = {{{"ro", "rw", MS_RDONLY},
                                                     {"nosuid", "suid", MS_NOSUID},
                                                     {"nodev", "dev", MS_NODEV},
                                                     {"noexec", "exec", MS_NOEXEC}}};

bool Matches(const std::string& option, std::string_view word) {
  return option == word || (option.starts_with('r') && std::string_view(option).substr(1) == word);
}

bool SaysNothingOfFlags(const std::string& option) {
  static constexpr std::array<std::string_view, 6> kOthers = {"bind",  "private",    "shared",
                                                              "slave", "unbindable", "defaults"};
  return std::ranges::any_of(kOthers, [&](std::string_view word) { return Matches(option, word); });
}

LiveMount ParseMount(const json::Value& mount) {
  const std::vector<std::string> options = mount.At("options").Texts();
  LiveMount live;
  live.destination = mount.At("destination").Text();
  live.type = mount.At("type").Text();
  live.source = mount.At("source").Text();
  live.flags = FlagsOf(options);
  const auto is_bind = [](const std::string& option) { return Matches(option, "bind"); };
  if (std::ranges::any_of(options, is_bind)) live.type = "bind";
  live.keeps_flags = live.type == "bind" && std::ranges::all_of(options, SaysNothingOfFlags);
  return live;
}

uint32_t NumberOr(uint32_t fallback, const json::Value& value) {
  const auto* const number = std::get_if<uint64_t>(&value.value);
  return number != nullptr ? static_cast<uint32_t>(*number) : fallback;
}

LiveDevice ParseDevice(const json::Value& device) {
  static constexpr uint32_t kModeMask = 07777;
  LiveDevice live;
  live.path = device.At("path").Text();
  live.major = NumberOr(0, device.At("major"));
  live.minor = NumberOr(0, device.At("minor"));
  live.is_block = device.At("type").Text() == "b";
  live.mode = NumberOr(live.mode, device.At("fileMode")) & kModeMask;
  live.uid = NumberOr(0, device.At("uid"));
  live.gid = NumberOr(0, device.At("gid"));
  return live;
}

// Without a number, or with -1, it is for all of them.
criu::DeviceRule ParseDeviceRule(const json::Value& rule) {
  return {rule.At("allow").IsTrue(), rule.At("type").Text(),
          NumberOr(criu::kAnyDevice, rule.At("major")),
          NumberOr(criu::kAnyDevice, rule.At("minor")), rule.At("access").Text()};
}

}  // namespace

std::string MountPointOf(const LiveMounts& live, const LiveMount& mount) {
  return criu::ResolveInRootfs(live.rootfs, mount.destination);
}

MountFlags FlagsOf(const std::vector<std::string>& options) {
  MountFlags flags = 0;
  for (const std::string& option : options) {
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

Result<json::Value> ReadLiveConfig(const std::string& bundle) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(bundle + "/config.json"));
  Result<json::Value> config = json::Parse(text);
  if (!config.ok() || config->At("process").object() == nullptr) {
    return Status(Code::kDataLoss, "config.json of the bundle is no OCI configuration");
  }
  return config;
}

LiveMounts LiveMountsOf(const json::Value& config, const std::string& rootfs) {
  LiveMounts live;
  live.rootfs = rootfs;
  live.read_only_root = config.At("root").At("readonly").IsTrue();
  for (const json::Value& mount : config.At("mounts").Elements()) {
    live.mounts.push_back(ParseMount(mount));
  }
  const json::Value& linux_part = config.At("linux");
  live.masked_paths = linux_part.At("maskedPaths").Texts();
  live.read_only_paths = linux_part.At("readonlyPaths").Texts();
  for (const json::Value& device : linux_part.At("devices").Elements()) {
    live.devices.push_back(ParseDevice(device));
  }
  for (const json::Value& rule : linux_part.At("resources").At("devices").Elements()) {
    live.device_rules.push_back(ParseDeviceRule(rule));
  }
  return live;
}

}  // namespace cryopod::restore
