#include "agent/node_info.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>

#include "agent/criu/criu_client.h"
#include "agent/os/cgroup.h"
#include "agent/os/deadline.h"

namespace cryopod::agent {
namespace {

constexpr std::chrono::seconds kTimeout{10};

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
  const Result<Cgroup> cgroup = Cgroup::OfProcess(::getpid());
  if (cgroup.ok()) {
    info.cgroup_version = cgroup->version() == CgroupVersion::kV2 ? "v2" : "v1";
  } else {
    info.problems.push_back("cgroups: " + cgroup.status().message());
  }
  return info;
}

}  // namespace cryopod::agent
