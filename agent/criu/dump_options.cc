#include "agent/criu/dump_options.h"

#include "agent/criu/mount_ledger.h"
#include "agent/json/fields.h"
#include "agent/os/proc.h"

namespace cryopod::criu {
namespace {

// A namespace that the container joined is named by the inode behind its init's own link: the path
// that the runtime was given may lead through the PID of a process that is gone.
Status AddIfJoined(const ContainerState& state, const std::string& type, const std::string& name,
                   const std::string& key, std::vector<std::string>& externals) {
  const auto found = state.namespace_paths.find(type);
  if (found == state.namespace_paths.end() || found->second.empty()) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t inode, NamespaceInode(state.init_pid, name));
  externals.push_back(name + "[" + std::to_string(inode) + "]:" + key);
  return Status();
}

}  // namespace

Result<DumpOptions> BuildDumpOptions(const ContainerState& state,
                                     const std::vector<MountEntry>& mounts,
                                     const std::string& freeze_cgroup) {
  MountLedger ledger = AccountForMounts(state, mounts);
  DumpOptions options;
  options.pid = state.init_pid;
  options.root = state.rootfs;
  options.freeze_cgroup = freeze_cgroup;
  options.external_mounts = std::move(ledger.externals);
  options.watched_paths = std::move(ledger.watched_paths);
  options.strangers = std::move(ledger.strangers);
  CRYOPOD_RETURN_IF_ERROR(AddIfJoined(state, "NEWNET", "net", "extRootNetNS", options.externals));
  CRYOPOD_RETURN_IF_ERROR(AddIfJoined(state, "NEWPID", "pid", "extRootPidNS", options.externals));
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
