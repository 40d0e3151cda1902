#include "agent/node_info.h"

#include <sys/utsname.h>

#include <chrono>

#include "agent/criu/criu_client.h"
#include "agent/os/cgroup.h"
#include "agent/os/deadline.h"
#include "agent/os/file.h"

namespace cryopod::agent {
namespace {

constexpr std::chrono::seconds kTimeout{10};

// Where containers are frozen: v1's freezer wins where it is mounted.
std::string FreezingHierarchy() {
  const Result<std::string> mountinfo = ReadFile("/proc/self/mountinfo");
  std::string version;
  for (const CgroupMount& mount : ParseCgroupMounts(mountinfo.ok() ? *mountinfo : "")) {
    if (mount.controllers.find("freezer") != std::string::npos) return "v1";
    if (mount.controllers.empty()) version = "v2";
  }
  return version;
}

}  // namespace

NodeInfo ReadNodeInfo(const Config& config, cri::RuntimeClient& runtime) {
  NodeInfo info;
  utsname names{};
  if (::uname(&names) == 0) {
    info.kernel = names.release;
    info.architecture = names.machine;
  }
  const Result<criu::Version> criu =
      criu::CheckVersion(config.criu_program, Deadline::After(kTimeout));
  if (criu.ok()) {
    info.criu_version = criu->text();
    const Status features = criu::CheckFeatures(config.criu_program, Deadline::After(kTimeout));
    if (!features.ok()) info.problems.push_back("CRIU: " + features.message());
  } else {
    info.problems.push_back("CRIU: " + criu.status().message());
  }
  const Result<cri::RuntimeVersion> version = runtime.Version(Deadline::After(kTimeout));
  if (version.ok()) {
    info.runtime_name = version->name;
    info.runtime_version = version->version;
  } else {
    info.problems.push_back("runtime: " + version.status().message());
  }
  info.cgroup_version = FreezingHierarchy();
  if (info.cgroup_version.empty()) {
    info.problems.push_back("cgroups: neither v1's freezer nor cgroup v2 is mounted");
  }
  return info;
}

}  // namespace cryopod::agent
