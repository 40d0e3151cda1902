#include <array>
#include <string_view>
#include <utility>

#include "agent/node/checks.h"
#include "agent/os/text.h"

namespace cryopod::node {
namespace {

// pidfds, openat2 and close_range are older; cgroup.kill came with it.
constexpr std::pair<int, int> kKernelMin{5, 14};

// A dump that does not find it is staged on disk, and the freeze waits for the disk.
constexpr uint64_t kStagingBytesMin = uint64_t{256} << 20;

// What CRIU needs to dump processes of any user, what entering a pod's namespaces takes
// (SYS_CHROOT, SYS_ADMIN), and what it takes to write a container's files as they were.
constexpr std::array kNeeded{
    "CAP_CHOWN",      "CAP_DAC_OVERRIDE", "CAP_FOWNER",  "CAP_FSETID",    "CAP_KILL",
    "CAP_SETGID",     "CAP_SETUID",       "CAP_SETPCAP", "CAP_NET_ADMIN", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_ADMIN",    "CAP_MKNOD",   "CAP_SETFCAP",   "CAP_CHECKPOINT_RESTORE"};

bool Has(uint64_t mask, const char* name) {
  const std::optional<int> number = CapabilityNumber(name);
  return number && (mask >> *number & 1) != 0;
}

}  // namespace

Finding CheckKernel(const std::string& release) {
  if (MajorMinor(release) >= kKernelMin) return Finding::Met(release);
  return Finding::Lacking(release,
                          "Linux " + release + " has not all that a checkpoint calls (cgroup.kill)",
                          "boot Linux 5.14 or newer");
}

Finding CheckFreezer(const std::string& version) {
  if (!version.empty()) return Finding::Met("cgroup " + version);
  return Finding::Lacking("",
                          "neither cgroup v1's freezer nor cgroup v2 is mounted, so that no pod "
                          "can be frozen as a whole",
                          "mount cgroup v2 at /sys/fs/cgroup, or v1's freezer beneath it");
}

Finding CheckCapabilities(const CapabilitySets& capabilities) {
  // What a child can get is what the bounding set holds too.
  const uint64_t held = capabilities.effective & capabilities.bounding;
  std::string missing;
  for (const char* name : kNeeded) {
    if (!Has(held, name)) missing += (missing.empty() ? "" : " ") + std::string(name);
  }
  if (!missing.empty()) {
    return Finding::Lacking(
        "without " + missing,
        "cryopod-agent lacks " + missing + ", without which processes cannot be dumped or restored",
        "run it as root, and keep these capabilities in its unit's CapabilityBoundingSet");
  }
  if (Has(held, "CAP_SYS_RESOURCE")) return Finding::Met("all");
  return Finding::Met("all but CAP_SYS_RESOURCE: of other users than root nothing can be dumped");
}

Finding CheckStagingMemory(uint64_t available_bytes) {
  const std::string found = WholeMib(available_bytes) + " available";
  if (available_bytes >= kStagingBytesMin) return Finding::Met(found);
  return Finding::Lacking(found,
                          "a dump of any size is staged on disk, and pods stand still for as long "
                          "as the disk takes",
                          "free memory until " + WholeMib(kStagingBytesMin) + " are available");
}

Finding CheckLandlock(int version, const settings::AgentSettings& settings) {
  if (version > 0) return Finding::Met("version " + std::to_string(version));
  if (settings.import_without_landlock) {
    return Finding::Met("none, and import_without_landlock is set");
  }
  return Finding::Lacking("none",
                          "the kernel has no Landlock, which confines the program that reads "
                          "archives: those of other nodes are neither imported nor restored",
                          "boot a kernel with Landlock (landlock among lsm=), or set "
                          "import_without_landlock in the configuration");
}

}  // namespace cryopod::node
