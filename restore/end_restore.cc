#include "restore/end_restore.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "restore/restore_container.h"
#include "restore/runtime/protocol/interrupted_restore.h"

namespace cryopod::restore {
namespace {

// A wrapper's end closes its connection a moment before the runtime below it, and CRIU below that,
// are killed: what they still fork is caught by looking again.
constexpr int kRounds = 3;
constexpr std::chrono::milliseconds kPause{50};

Status KillProcesses(const std::string& cgroup_dir, Deadline deadline) {
  Status first;
  for (int round = 0; round < kRounds; ++round) {
    if (round > 0) std::this_thread::sleep_for(kPause);
    if (cgroup_dir.empty() || !PathExists(cgroup_dir)) continue;
    const Result<Cgroup> cgroup = Cgroup::Open(cgroup_dir);
    const Status killed = cgroup.ok() ? cgroup->Kill(deadline) : cgroup.status();
    // The runtime removes the cgroup under us.
    if (!killed.ok() && killed.code() != Code::kNotFound && first.ok()) first = killed;
  }
  return first;
}

}  // namespace

Status EndRestore(const jobs::ContainerReport& container, Deadline deadline) {
  const Status killed = KillProcesses(container.cgroup_dir, deadline);
  const Status renamed = PutHostnameBack(container, deadline);
  const Status detached = container.state_dir.empty()
                              ? Status()
                              : wrapper::DetachRestoreMounts(container.state_dir, container.rootfs);
  for (const Status& status : {killed, renamed, detached}) {
    if (!status.ok()) return status.While("ending the restore of container " + container.name);
  }
  return Status();
}

}  // namespace cryopod::restore
