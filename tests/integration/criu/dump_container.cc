// dump_container RUNTIME_ROOT CONTAINER_ID IMAGES_DIR WORK_DIR
//
// Dumps one container of runc the way a checkpoint does: its leaf cgroup frozen, CRIU, thaw. Prints
// one line; exit code 1 when it failed, 3 when the container was refused before anything was done.

#include <chrono>
#include <cstdio>
#include <string>

#include "agent/criu/container_state.h"
#include "agent/criu/criu_client.h"
#include "agent/criu/dump_options.h"
#include "agent/criu/images/criu_images.h"
#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/mount_info.h"

namespace cryopod::criu {
namespace {

struct Container {
  Cgroup leaf;
  DumpOptions options;
  std::string descriptors;
};

Result<Container> Resolve(const std::string& oci_runtime_root, const std::string& id) {
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerState state, ReadContainerState(oci_runtime_root, id));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ReadMountInfo(state.init_pid));
  CRYOPOD_ASSIGN_OR_RETURN(Cgroup leaf, Cgroup::OfProcess(state.init_pid));
  CRYOPOD_ASSIGN_OR_RETURN(DumpOptions options, BuildDumpOptions(state, mounts, leaf.path()));
  if (!options.strangers.empty()) {
    return Status(Code::kFailedPrecondition, options.strangers.front());
  }
  return Container{std::move(leaf), std::move(options), DescriptorsJson(state)};
}

Status DumpFrozen(const Container& container, const std::string& images, const std::string& work) {
  const Deadline deadline = Deadline::After(std::chrono::seconds(60));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd images_dir, OpenDirectory(images));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd work_dir, OpenDirectory(work));
  CRYOPOD_RETURN_IF_ERROR(
      WriteFileAtomically(images_dir.get(), "descriptors.json", container.descriptors));
  CRYOPOD_ASSIGN_OR_RETURN(CriuProcess criu, CriuProcess::Spawn("criu"));
  CRYOPOD_RETURN_IF_ERROR(criu.Park(container.options, images_dir.get(), work_dir.get(), deadline));
  CRYOPOD_RETURN_IF_ERROR(container.leaf.Freeze());
  Status dumped = container.leaf.WaitFrozen(deadline);
  if (dumped.ok()) dumped = criu.Dump(deadline);
  CRYOPOD_RETURN_IF_ERROR(container.leaf.Thaw());
  criu.Finish();
  CRYOPOD_RETURN_IF_ERROR(dumped);
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DumpedProcess> processes,
                           ReadPstree(images_dir.get()));
  CRYOPOD_ASSIGN_OR_RETURN(const DumpStats stats, ReadDumpStats(work_dir.get()));
  std::printf("dumped %zu processes, frozen for %llu us\n", processes.size(),
              static_cast<unsigned long long>(stats.frozen_us));
  return Status();
}

int Run(const std::string& oci_runtime_root, const std::string& id, const std::string& images,
        const std::string& work) {
  const Deadline deadline = Deadline::After(std::chrono::seconds(20));
  if (const Status fit = CheckFeatures("criu", deadline); !fit.ok()) {
    std::printf("unfit: %s\n", fit.message().c_str());
    return 1;
  }
  const Result<Container> container = Resolve(oci_runtime_root, id);
  if (!container.ok()) {
    std::printf("refused: %s\n", container.status().message().c_str());
    return 3;
  }
  const Status dumped = DumpFrozen(*container, images, work);
  if (dumped.ok()) return 0;
  std::printf("failed: %s\n", dumped.message().c_str());
  return 1;
}

}  // namespace
}  // namespace cryopod::criu

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  cryopod::SetLogLevelFromEnvironment();
  return cryopod::criu::Run(argv[1], argv[2], argv[3], argv[4]);
}
