#include "agent/criu/dump_options.h"

#include "agent/criu/mount_ledger.h"
#include "agent/json/fields.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

constexpr size_t kStrangersNamed = 8;

Status RefuseStrangers(const std::vector<std::string>& strangers) {
  return Status(Code::kFailedPrecondition,
                "the container has mounts that a checkpoint would lose: " +
                    JoinFirst(strangers, kStrangersNamed, "; ", "; and "));
}

// A namespace that the container joined is named by the inode behind its init's own link: the path
// that the runtime was given may lead through the PID of a process that is gone.
Result<std::string> ExternalNamespace(pid_t pid, const std::string& name, const std::string& key) {
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t inode, NamespaceInode(pid, name));
  return name + "[" + std::to_string(inode) + "]:" + key;
}

bool IsJoined(const ContainerState& state, const std::string& type) {
  const auto found = state.namespace_paths.find(type);
  return found != state.namespace_paths.end() && !found->second.empty();
}

}  // namespace

Result<DumpOptions> BuildDumpOptions(const ContainerState& state,
                                     const std::vector<MountEntry>& mounts,
                                     const std::string& freeze_cgroup) {
  if (state.namespace_paths.contains("NEWUSER")) {
    return Status(
        Code::kFailedPrecondition,
        "the container has a user namespace of its own, which no runtime can restore: run "
        "the pod with hostUsers: true");
  }
  MountLedger ledger(state);
  ledger.Account(mounts);
  if (!ledger.strangers().empty()) return RefuseStrangers(ledger.strangers());

  DumpOptions options;
  options.pid = state.init_pid;
  options.root = state.rootfs;
  options.freeze_cgroup = freeze_cgroup;
  options.external_mounts = ledger.externals();
  options.watched_paths = ledger.watched_paths();
  if (IsJoined(state, "NEWNET")) {
    CRYOPOD_ASSIGN_OR_RETURN(std::string net,
                             ExternalNamespace(state.init_pid, "net", "extRootNetNS"));
    options.externals.push_back(std::move(net));
  }
  if (IsJoined(state, "NEWPID")) {
    CRYOPOD_ASSIGN_OR_RETURN(std::string pid,
                             ExternalNamespace(state.init_pid, "pid", "extRootPidNS"));
    options.externals.push_back(std::move(pid));
  }
  return options;
}

std::string DescriptorsJson(const ContainerState& state) {
  // runc's restore looks at three of them, whatever the state said.
  constexpr size_t kStandardDescriptors = 3;
  std::vector<std::string> descriptors = state.external_descriptors;
  if (descriptors.size() < kStandardDescriptors) {
    descriptors.resize(kStandardDescriptors, "/dev/null");
  }
  return json::Format(json::Fields::ToValue(descriptors));
}

}  // namespace cryopod::criu
