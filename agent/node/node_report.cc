#include "agent/node/node_report.h"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "agent/node/check_container_runtime.h"
#include "agent/node/check_machine.h"
#include "agent/node/check_programs.h"
#include "agent/node/check_storage.h"
#include "agent/node/check_wrapper.h"
#include "agent/os/proc.h"

namespace cryopod::node {
namespace {

using api::kAgent;
using api::kAnnotations;
using api::kCapabilities;
using api::kCgroupFreezer;
using api::kCriu;
using api::kCriuFeatures;
using api::kDirectories;
using api::kDiskSpace;
using api::kInnerPrograms;
using api::kKernel;
using api::kOciRuntime;
using api::kRuntime;
using api::kRuntimeHandler;
using api::kRuntimeProgram;
using api::kRuntimeSocket;
using api::kSnapshotter;
using api::kStagingMemory;
using api::kUnpack;

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

  NodeReport Take() && {
    LookAtAgent();
    LookAtMachine();
    LookAtPrograms();
    LookAtStorage();
    LookAtRuntime();
    return std::move(report_);
  }

 private:
  RequirementList& list() { return report_.requirements; }

  void LookAtAgent() {
    list().Add(kAgent, {}, [this] {
      const std::string socket = settings_.agent_socket();
      if (observer_.is_agent) return Finding::Met(observer_.agent_version + " at " + socket);
      return Finding::Lacking("", observer_.agent_problem,
                              "start it (systemctl start cryopod-agent); its log says why it "
                              "ended");
    });
    list().Add(kCapabilities, {kAgent}, [] {
      const Result<TaskCredentials> credentials = ReadTaskCredentials(::getpid());
      return credentials.ok() ? CheckCapabilities(credentials->capabilities)
                              : Unreadable(credentials.status());
    });
    list().Add(kRuntimeSocket, {kAgent}, [this] { return CheckRuntimeSocket(settings_, Soon()); });
  }

  void LookAtMachine() {
    const Result<Machine> machine = ReadMachine();
    if (machine.ok()) report_.machine = *machine;
    list().Add(kKernel, {}, [&machine] {
      return machine.ok() ? CheckKernel(machine->kernel) : Unreadable(machine.status());
    });
    list().Add(kCgroupFreezer, {kKernel},
               [this] { return CheckFreezer(report_.machine.cgroup_version); });
    list().Add(kStagingMemory, {}, [] {
      const Result<uint64_t> available = AvailableMemoryBytes();
      return available.ok() ? CheckStagingMemory(*available) : Unreadable(available.status());
    });
  }

  void LookAtPrograms() {
    list().Add(kCriu, {}, [this] {
      Finding finding = CheckCriu(settings_, Soon());
      static constexpr size_t kWordBytes = sizeof("CRIU ") - 1;
      if (finding.reason.empty()) report_.criu_version = finding.found.substr(kWordBytes);
      return finding;
    });
    const auto features = [this] { return CheckCriuFeatures(settings_, Soon()); };
    // Without the agent it is asked with the caller's own capabilities.
    if (observer_.is_agent) {
      list().Add(kCriuFeatures, {kKernel, kCriu, kCapabilities}, features);
    } else {
      list().Add(kCriuFeatures, {kKernel, kCriu}, features);
    }
    list().Add(kInnerPrograms, {}, [this] { return CheckInnerPrograms(settings_); });
    list().Add(kUnpack, {}, [this] { return CheckUnpack(settings_, Soon()); });
  }

  void LookAtStorage() {
    // Which the agent makes when it starts.
    list().Add(kDirectories, {kAgent}, [this] { return CheckDirectories(settings_); });
    list().Add(kDiskSpace, {}, [this] { return CheckDiskSpace(settings_); });
  }

  Finding AskRuntime() {
    const Result<cri::RuntimeVersion> version = container_runtime_.Version(Soon());
    if (!version.ok()) {
      return Finding::Lacking("", version.status().message(),
                              "start containerd (systemctl start containerd), or name its socket "
                              "as containerd_socket");
    }
    report_.runtime_name = version->name;
    report_.runtime_version = version->version;
    Result<cri::RuntimeConfiguration> configuration = container_runtime_.Configuration(Soon());
    if (!configuration.ok()) {
      return Finding::Lacking(version->name + " " + version->version,
                              configuration.status().message(), "see containerd's log");
    }
    configuration_ = std::move(configuration).value();
    return CheckRuntimeVersion(*version);
  }

  void LookAtRuntime() {
    list().Add(kRuntime, {}, [this] { return AskRuntime(); });
    list().Add(kSnapshotter, {kRuntime}, [this] { return CheckSnapshotter(configuration_); });
    list().Add(kRuntimeHandler, {kRuntime}, [this] { return CheckHandler(configuration_); });
    list().Add(kAnnotations, {kRuntimeHandler},
               [this] { return CheckAnnotations(configuration_); });
    wrapper::KeyValues values;
    list().Add(kRuntimeProgram, {kRuntimeHandler}, [this, &values] {
      WrapperAnswer answer = AskWrapper(configuration_, Soon());
      values = std::move(answer.values);
      return answer.program;
    });
    list().Add(kOciRuntime, {kRuntimeProgram},
               [this, &values] { return CheckOciRuntime(values, settings_, Soon()); });
  }

  const settings::AgentSettings& settings_;
  cri::RuntimeClient& container_runtime_;
  const Observer& observer_;
  cri::RuntimeConfiguration configuration_;
  NodeReport report_;
};

}  // namespace

NodeReport LookAtNode(const settings::AgentSettings& settings,
                      cri::RuntimeClient& container_runtime, const Observer& observer) {
  return Look(settings, container_runtime, observer).Take();
}

}  // namespace cryopod::node
