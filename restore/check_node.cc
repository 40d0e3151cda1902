#include "restore/check_node.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/criu/criu_client.h"
#include "agent/os/machine.h"
#include "agent/os/text.h"

namespace cryopod::restore {
namespace {

void CompareVersion(const std::string& what, const std::string& source, const std::string& target,
                    std::vector<std::string>& mismatches) {
  if (source.empty() || MajorMinor(target) >= MajorMinor(source)) return;
  mismatches.push_back(what + " " + target + " is older than the source's " + source);
}

// An archive without the words of its CPU has the kernel's flags only. They name what no program
// sees as well, under names that kernels change; but which do is not known, so all must be here.
std::vector<std::string> MissingFromCpu(const archive::NodeFacts& target,
                                        const archive::NodeFacts& source) {
  if (!source.cpu.empty()) return MissingFrom(target.cpu, source.cpu);
  std::vector<std::string> missing;
  std::ranges::set_difference(source.cpu_flags, target.cpu_flags, std::back_inserter(missing));
  return missing;
}

}  // namespace

std::vector<std::string> Fits(const archive::NodeFacts& source, const archive::NodeFacts& target) {
  std::vector<std::string> mismatches;
  if (source.architecture != target.architecture) {
    mismatches.push_back("architecture " + target.architecture + " is not the source's " +
                         source.architecture);
  } else if (const std::vector<std::string> missing = MissingFromCpu(target, source);
             !missing.empty()) {
    mismatches.push_back("the processor lacks what the source's has: " + Join(missing));
  }
  CompareVersion("kernel", source.kernel, target.kernel, mismatches);
  CompareVersion("CRIU", source.criu_version, target.criu_version, mismatches);
  if (!source.cgroup_version.empty() && source.cgroup_version != target.cgroup_version) {
    mismatches.push_back("cgroup " + target.cgroup_version + " is not the source's " +
                         source.cgroup_version);
  }
  return mismatches;
}

Result<archive::NodeFacts> ReadThisNode(const std::string& criu_program, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(Machine machine, ReadMachine());
  CRYOPOD_ASSIGN_OR_RETURN(const criu::Version criu, criu::CheckVersion(criu_program, deadline));
  return archive::NodeFacts{std::move(machine), criu.text(), "", ""};
}

Status CheckNode(const archive::PodCheckpoint& checkpoint, const std::string& criu_program,
                 Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::NodeFacts node, ReadThisNode(criu_program, deadline));
  const std::vector<std::string> mismatches = Fits(checkpoint.node, node);
  if (mismatches.empty()) return Status();
  return Status(Code::kFailedPrecondition,
                "this node does not fit the checkpoint: " + Join(mismatches, "; "),
                Reason::kNodeDiffers);
}

}  // namespace cryopod::restore
