#include "agent/checkpoint/quiet_moment.h"

#include <chrono>
#include <thread>
#include <utility>

#include "agent/checkpoint/cancellation.h"
#include "agent/checkpoint/preflight.h"
#include "agent/os/door.h"
#include "agent/os/proc.h"

namespace cryopod::checkpoint {
namespace {

// A probe's process is there for some ten milliseconds.
constexpr std::chrono::milliseconds kPause{2};

// Nothing when there is none.
Result<std::string> NameOneFromOutside(const ResolvedPod& pod) {
  for (const DumpTarget& target : pod.targets) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, target.cgroup.Processes());
    std::vector<ProcessInfo> processes;
    for (const pid_t pid : pids) {
      Result<ProcessInfo> process = ReadProcessInfo(pid);
      if (process.ok()) processes.push_back(std::move(process).value());
    }
    for (const ProcessInfo& stray : FindStrayProcesses(processes, target.state.init_pid)) {
      if (!IsZombie(stray)) return "container " + target.requested.name + ": " + NameOf(stray);
    }
  }
  return std::string();
}

}  // namespace

ClosedDoors ClosedDoors::Of(const ResolvedPod& pod, const std::string& runtime_root,
                            Deadline patience) {
  std::vector<UniqueFd> doors;
  for (const DumpTarget& target : pod.targets) {
    Result<UniqueFd> door = CloseDoor(runtime_root + "/" + target.requested.id, patience);
    if (door.ok()) doors.push_back(std::move(door).value());
  }
  return ClosedDoors(std::move(doors));
}

Status WaitUntilExecsHaveEnded(const ResolvedPod& pod, Deadline patience) {
  while (true) {
    CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
    CRYOPOD_ASSIGN_OR_RETURN(const std::string stays, NameOneFromOutside(pod));
    if (stays.empty()) return Status();
    if (patience.expired()) {
      return Status(Code::kAborted, stays + " came from outside and does not end",
                    Reason::kPodChanged);
    }
    std::this_thread::sleep_for(kPause);
  }
}

Status WaitForTheEndOfAnExec(const ResolvedPod& pod, Deadline patience) {
  bool came = false;
  while (!patience.expired()) {
    CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
    CRYOPOD_ASSIGN_OR_RETURN(const std::string there, NameOneFromOutside(pod));
    if (there.empty() && came) return Status();
    came = came || !there.empty();
    std::this_thread::sleep_for(kPause);
  }
  return Status();
}

}  // namespace cryopod::checkpoint
