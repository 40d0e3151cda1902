#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/checkpoint/dump_target.h"
#include "agent/criu/images/criu_images.h"
#include "agent/os/deadline.h"
#include "agent/os/namespaces.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Does every leaf hold exactly the tasks that were dumped? While CRIU works the leaf is thawed, and
// a task that enters it runs: an archive without that task would be no copy of the container.
// Zombies are no tasks here: they run nothing. Returns how many tasks there are. Errors: kAborted,
// names the task; the capture must be discarded.
Result<uint32_t> CheckMembers(const DumpTarget& target,
                              const std::vector<criu::DumpedProcess>& dumped);

// Pure: the difference, as a sentence; empty when there is none. All PIDs are those of the
// container's namespace.
std::string DescribeDifference(const std::set<pid_t>& in_leaf, const std::set<pid_t>& dumped);

// The last PID of every PID namespace of the pod, by namespace. Two equal readings prove that
// nothing was born in between, not even a process that has ended again.
using BirthMarks = std::map<uint64_t, pid_t>;

// Reads them inside a freeze without a fork: what that takes is there before.
class BirthWatch {
 public:
  static Result<BirthWatch> Begin(const ResolvedPod& pod, Deadline deadline);
  // Errors: kAborted (somebody in the pod has ended our process there).
  Result<BirthMarks> Read(Deadline deadline) const;

 private:
  std::map<uint64_t, LastPid> namespaces_;
};
// Errors: kAborted.
Status CheckNothingWasBorn(const BirthMarks& before, const BirthMarks& after);

}  // namespace cryopod::checkpoint
