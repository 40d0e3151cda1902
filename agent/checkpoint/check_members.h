#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/criu/images/criu_images.h"
#include "agent/os/deadline.h"
#include "agent/os/last_pid/last_pid.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Does every leaf hold exactly the tasks that were dumped? While CRIU works the leaf is thawed, and
// a task that enters it runs: an archive without that task would be no copy of the container.
// Zombies are no tasks here: they run nothing. Returns how many tasks there are. Errors: kAborted,
// names the task; the capture must be discarded.
Result<uint32_t> CheckMembers(const DumpTarget& target,
                              const std::vector<criu::DumpedProcess>& dumped);

// What is in the leaf and was not dumped, in words: "process 4711 (sleep)". Empty: nothing.
std::string DescribeUndumped(const DumpTarget& target,
                             const std::vector<criu::DumpedProcess>& dumped);

// The last PID of every PID namespace of the pod, by namespace. Two equal readings prove that
// nothing was born in between, not even a process that has ended again.
using BirthMarks = std::map<uint64_t, pid_t>;

// Reads them inside a freeze without a fork: what that takes is there before.
class BirthWatch {
 public:
  // `pod` must outlive the answer.
  static Result<BirthWatch> Begin(const ResolvedPod& pod, Deadline deadline);
  // Errors: kAborted (somebody in the pod has ended our process there).
  Result<BirthMarks> Read(Deadline deadline) const;
  // Errors: kAborted, names what was born since: in a container, or on its way into one, since an
  // exec is in the PID namespace before it is in the leaf; or says that it has ended again.
  Status CheckNothingWasBorn(const BirthMarks& before, Deadline deadline) const;

 private:
  explicit BirthWatch(const ResolvedPod& pod) : pod_(&pod) {}
  const ResolvedPod* pod_;
  std::map<uint64_t, LastPid> namespaces_;
};

}  // namespace cryopod::checkpoint
