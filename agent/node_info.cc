#include "agent/node_info.h"

#include <chrono>
#include <utility>

#include "agent/criu/criu_client.h"
#include "agent/os/deadline.h"
#include "agent/os/machine.h"

namespace cryopod::agent {
namespace {

constexpr std::chrono::seconds kTimeout{10};

}  // namespace

NodeInfo ReadNodeInfo(const Config& config, cri::RuntimeClient& runtime) {
  NodeInfo info;
  Result<Machine> machine = ReadMachine();
  if (machine.ok()) {
    info.kernel = std::move(machine->kernel);
    info.architecture = std::move(machine->architecture);
    info.cgroup_version = std::move(machine->cgroup_version);
  } else {
    info.problems.push_back("machine: " + machine.status().message());
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
  if (machine.ok() && info.cgroup_version.empty()) {
    info.problems.push_back("cgroups: neither v1's freezer nor cgroup v2 is mounted");
  }
  return info;
}

}  // namespace cryopod::agent
