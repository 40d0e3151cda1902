#include "agent/node/node_report.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "agent/node/checks.h"
#include "agent/os/confinement.h"
#include "agent/os/machine.h"
#include "agent/os/proc.h"

namespace cryopod::node {
namespace {

// Of each question.
Deadline Soon() { return Deadline::After(std::chrono::seconds(10)); }

Finding Unreadable(const Status& status) {
  return Finding::Lacking("", status.message(), "mount /proc, and run cryopod-agent as root");
}

class Look {
 public:
  Look(const settings::AgentSettings& settings, cri::RuntimeClient& container_runtime,
       const Observer& observer)
      : settings_(settings), container_runtime_(container_runtime), observer_(observer) {}

  api::NodeInfo Take() && {
    LookAtAgent();
    LookAtMachine();
    LookAtPrograms();
    LookAtStorage();
    LookAtRuntime();
    info_.agent_version = observer_.agent_version;
    return std::move(info_);
  }

 private:
  // `stands_on` have been added before.
  void Add(const char* name, std::initializer_list<const char*> stands_on,
           const std::function<Finding()>& check) {
    for (const char* const lower : stands_on) {
      if (IsMet(lower)) continue;
      const std::string why = std::string("cannot be seen without ") + lower;
      info_.requirements.push_back({name, api::RequirementState::kUnknown, "", why, ""});
      return;
    }
    const Finding finding = check();
    const bool met = finding.reason.empty();
    const auto state = met ? api::RequirementState::kMet : api::RequirementState::kLacking;
    info_.requirements.push_back({name, state, finding.found, finding.reason, finding.remedy});
    if (!met) {
      info_.problems.push_back(std::string(name) + ": " + finding.reason + "; " + finding.remedy);
    }
  }

  bool IsMet(std::string_view name) const {
    return std::ranges::any_of(info_.requirements, [name](const api::Requirement& requirement) {
      return requirement.name == name && requirement.state == api::RequirementState::kMet;
    });
  }

  void LookAtAgent() {
    Add(api::kAgent, {}, [this] {
      const std::string socket = settings_.agent_socket();
      if (observer_.is_agent) return Finding::Met(observer_.agent_version + " at " + socket);
      return Finding::Lacking("", observer_.agent_problem,
                              "start it (systemctl start cryopod-agent); its log says why it "
                              "ended");
    });
    Add(api::kCapabilities, {api::kAgent}, [] {
      const Result<TaskCredentials> credentials = ReadTaskCredentials(::getpid());
      return credentials.ok() ? CheckCapabilities(credentials->capabilities)
                              : Unreadable(credentials.status());
    });
    Add(api::kRuntimeSocket, {api::kAgent},
        [this] { return CheckRuntimeSocket(settings_, Soon()); });
  }

  void LookAtMachine() {
    const Result<Machine> machine = ReadMachine();
    if (machine.ok()) {
      info_.kernel = machine->kernel;
      info_.architecture = machine->architecture;
      info_.cgroup_version = machine->cgroup_version;
    }
    Add(api::kKernel, {}, [&machine] {
      return machine.ok() ? CheckKernel(machine->kernel) : Unreadable(machine.status());
    });
    Add(api::kCgroupFreezer, {api::kKernel}, [this] { return CheckFreezer(info_.cgroup_version); });
    Add(api::kStagingMemory, {}, [] {
      const Result<uint64_t> available = AvailableMemoryBytes();
      return available.ok() ? CheckStagingMemory(*available) : Unreadable(available.status());
    });
  }

  void LookAtPrograms() {
    Add(api::kCriu, {}, [this] {
      Finding finding = CheckCriu(settings_, Soon());
      static constexpr size_t kWordBytes = sizeof("CRIU ") - 1;
      if (finding.reason.empty()) info_.criu_version = finding.found.substr(kWordBytes);
      return finding;
    });
    // Without the agent it is asked with the caller's own capabilities.
    const char* const capable = observer_.is_agent ? api::kCapabilities : api::kKernel;
    Add(api::kCriuFeatures, {api::kKernel, api::kCriu, capable},
        [this] { return CheckCriuFeatures(settings_, Soon()); });
    Add(api::kCriuPlugin, {api::kCriu}, [this] { return CheckCriuPlugin(settings_, Soon()); });
    Add(api::kInnerPrograms, {}, [this] { return CheckInnerPrograms(settings_); });
    Add(api::kUnpack, {}, [this] { return CheckUnpack(settings_, Soon()); });
    Add(api::kLandlock, {}, [this] {
      const Result<int> version = LandlockVersion();
      return version.ok() ? CheckLandlock(*version, settings_)
                          : Finding::Lacking("", version.status().message(), "boot another kernel");
    });
  }

  void LookAtStorage() {
    // Which the agent makes when it starts.
    Add(api::kDirectories, {api::kAgent}, [this] { return CheckDirectories(settings_); });
    Add(api::kDiskSpace, {}, [this] { return CheckDiskSpace(settings_); });
  }

  Finding AskRuntime() {
    const Result<cri::RuntimeVersion> version = container_runtime_.Version(Soon());
    if (!version.ok()) {
      return Finding::Lacking("", version.status().message(),
                              "start containerd (systemctl start containerd), or name its socket "
                              "as containerd_socket");
    }
    info_.runtime_name = version->name;
    info_.runtime_version = version->version;
    Result<cri::RuntimeConfiguration> configuration = container_runtime_.Configuration(Soon());
    if (!configuration.ok()) {
      return Finding::Lacking(version->name + " " + version->version,
                              configuration.status().message(), "see containerd's log");
    }
    configuration_ = std::move(configuration).value();
    return CheckRuntimeVersion(*version);
  }

  void LookAtRuntime() {
    Add(api::kRuntime, {}, [this] { return AskRuntime(); });
    Add(api::kSnapshotter, {api::kRuntime}, [this] { return CheckSnapshotter(configuration_); });
    Add(api::kRuntimeHandler, {api::kRuntime}, [this] { return CheckHandler(configuration_); });
    Add(api::kAnnotations, {api::kRuntimeHandler},
        [this] { return CheckAnnotations(configuration_); });
    wrapper::KeyValues values;
    Add(api::kRuntimeProgram, {api::kRuntimeHandler}, [this, &values] {
      WrapperAnswer answer = AskWrapper(configuration_, Soon());
      values = std::move(answer.values);
      return answer.program;
    });
    Add(api::kOciRuntime, {api::kRuntimeProgram},
        [this, &values] { return CheckOciRuntime(values, settings_, Soon()); });
  }

  const settings::AgentSettings& settings_;
  cri::RuntimeClient& container_runtime_;
  const Observer& observer_;
  cri::RuntimeConfiguration configuration_;
  api::NodeInfo info_;
};

}  // namespace

api::NodeInfo LookAtNode(const settings::AgentSettings& settings,
                         cri::RuntimeClient& container_runtime, const Observer& observer) {
  return Look(settings, container_runtime, observer).Take();
}

}  // namespace cryopod::node
