#include "agent/checkpoint/prepare_dumps.h"

#include <set>
#include <utility>

#include "agent/checkpoint/shared_mappings.h"
#include "agent/os/file.h"

namespace cryopod::checkpoint {
namespace {

// CRIU reads its options and the node's facts; nothing of the pod is stopped yet.
constexpr std::chrono::seconds kParkTimeout{20};

Result<PreparedDump> PrepareDump(criu::CriuProcess criu, const DumpTarget& target,
                                 StagingArea& staging) {
  const std::string& name = target.requested.name;
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd images_dir, staging.MakeDirectory(name + ".images"));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd work_dir, staging.MakeDirectory(name + ".work"));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd rootfs_dir, staging.MakeDirectory(name + ".rootfs"));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd upper_dir, OpenDirectory(target.upper_dir));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(images_dir.get(), "descriptors.json",
                                              criu::DescriptorsJson(target.state)));
  UpperCopy upper(upper_dir.get(), rootfs_dir.get());
  CRYOPOD_ASSIGN_OR_RETURN(const std::set<std::string> mapped, SharedWritableFiles(target.cgroup));
  CRYOPOD_RETURN_IF_ERROR(upper.CopyAhead(mapped));
  CRYOPOD_RETURN_IF_ERROR(
      criu.Park(target.options, images_dir.get(), work_dir.get(), Deadline::After(kParkTimeout)));
  return PreparedDump{&target,
                      std::move(images_dir),
                      std::move(work_dir),
                      std::move(rootfs_dir),
                      std::move(upper_dir),
                      std::move(criu),
                      std::move(upper)};
}

}  // namespace

Result<std::vector<PreparedDump>> PrepareDumps(std::vector<criu::CriuProcess> crius,
                                               const ResolvedPod& pod, StagingArea& staging) {
  if (crius.size() != pod.targets.size()) {
    return Status(Code::kInternal, std::to_string(crius.size()) + " CRIU processes for " +
                                       std::to_string(pod.targets.size()) + " containers");
  }
  std::vector<PreparedDump> dumps;
  for (size_t i = 0; i < crius.size(); ++i) {
    CRYOPOD_ASSIGN_OR_RETURN(PreparedDump dump,
                             PrepareDump(std::move(crius[i]), pod.targets[i], staging)
                                 .While("preparing container " + pod.targets[i].requested.name));
    dumps.push_back(std::move(dump));
  }
  return dumps;
}

}  // namespace cryopod::checkpoint
