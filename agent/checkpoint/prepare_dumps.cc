#include "agent/checkpoint/prepare_dumps.h"

#include <chrono>
#include <set>
#include <string>

#include "agent/checkpoint/cancellation.h"
#include "agent/os/deadline.h"
#include "agent/os/file.h"

namespace cryopod::checkpoint {
namespace {

constexpr std::chrono::seconds kCriuTimeout{10};

// CRIU keeps what it has learned of the kernel in this file, until the next boot. Whatever runs
// first learns it anew, which takes some 30 ms: that must not be a dump, inside a freeze. Source:
// CRIU criu/kerndat.c (KERNDAT_CACHE_FILE).
constexpr char kKernelFactsFile[] = "/run/criu.kdat";

// CRIU reads its options and the node's facts; nothing of the pod is stopped yet.
constexpr std::chrono::seconds kParkTimeout{20};

Result<PreparedDump> PrepareDump(criu::CriuProcess criu, const DumpTarget& target,
                                 const StagingArea& staging, Deadline deadline) {
  const std::string& name = target.requested.name;
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd images_dir, staging.MakeDirectory(name + ".images"));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd work_dir, staging.MakeDirectory(name + ".work"));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd rootfs_dir, staging.MakeDirectory(name + ".rootfs"));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd upper_dir, OpenDirectory(target.upper_dir));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(images_dir.get(), "descriptors.json",
                                              criu::DescriptorsJson(target.state)));
  UpperCopy upper(upper_dir.get(), rootfs_dir.get());
  CRYOPOD_ASSIGN_OR_RETURN(const std::set<std::string> mapped, SharedWritableFiles(target.cgroup));
  CRYOPOD_RETURN_IF_ERROR(upper.CopyAhead(mapped, [&] { return CheckMayGoOn(deadline); }));
  CRYOPOD_RETURN_IF_ERROR(criu.Park(target.options, images_dir.get(), work_dir.get(),
                                    deadline.SoonerAfter(kParkTimeout)));
  return PreparedDump{&target,
                      std::move(images_dir),
                      std::move(work_dir),
                      std::move(rootfs_dir),
                      std::move(upper_dir),
                      std::move(criu),
                      std::move(upper)};
}

}  // namespace

Result<StartedCriu> StartedCriu::Start(const jobs::CheckpointJob& job) {
  CRYOPOD_ASSIGN_OR_RETURN(criu::VersionInquiry version,
                           criu::VersionInquiry::Begin(job.criu_program));
  StartedCriu started(job, std::move(version));
  CRYOPOD_ASSIGN_OR_RETURN(started.ready_, started.Take());
  return started;
}

Result<criu::Version> StartedCriu::Check() {
  CRYOPOD_ASSIGN_OR_RETURN(const criu::Version version,
                           std::move(version_).Answer(Deadline::After(kCriuTimeout)));
  if (!PathExists(kKernelFactsFile)) {
    CRYOPOD_RETURN_IF_ERROR(criu::CheckFeatures(job_->criu_program, Deadline::After(kCriuTimeout))
                                .While("checking CRIU"));
  }
  return version;
}

Result<std::vector<criu::CriuProcess>> StartedCriu::Take() {
  if (!ready_.empty()) return std::exchange(ready_, {});
  std::vector<criu::CriuProcess> spawned;
  for (size_t i = 0; i < job_->containers.size(); ++i) {
    CRYOPOD_ASSIGN_OR_RETURN(
        criu::CriuProcess criu,
        criu::CriuProcess::Spawn(job_->criu_program, criu::Patience(), job_->criu_tools_dir));
    spawned.push_back(std::move(criu));
  }
  return spawned;
}

Result<std::vector<PreparedDump>> PrepareDumps(StartedCriu& started, const ResolvedPod& pod,
                                               const StagingArea& staging, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<criu::CriuProcess> crius, started.Take());
  std::vector<PreparedDump> dumps;
  for (size_t i = 0; i < pod.targets.size(); ++i) {
    CRYOPOD_ASSIGN_OR_RETURN(PreparedDump dump,
                             PrepareDump(std::move(crius[i]), pod.targets[i], staging, deadline)
                                 .While("preparing container " + pod.targets[i].requested.name));
    dumps.push_back(std::move(dump));
  }
  return dumps;
}

}  // namespace cryopod::checkpoint
