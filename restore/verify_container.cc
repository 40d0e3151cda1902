#include "restore/verify_container.h"

#include <string>
#include <vector>

#include "agent/os/cgroup.h"
#include "agent/os/proc.h"

namespace cryopod::restore {
namespace {

Status NotRestored(const std::string& why) {
  return Status(Code::kFailedPrecondition,
                "the restored processes are not those of the checkpoint: " + why,
                Reason::kNotVerified);
}

// Zombies come back too, and do not count: they are no tasks of the record either.
Result<size_t> CountLiving(const Cgroup& cgroup) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, cgroup.Threads());
  size_t living = 0;
  for (const pid_t thread : threads) {
    const Result<ProcessInfo> info = ReadProcessInfo(thread);
    if (info.ok() && info->state != 'Z' && info->state != 'X') ++living;
  }
  return living;
}

}  // namespace

Status VerifyRestored(jobs::ContainerReport& container, uint32_t tasks) {
  CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo init, ReadProcessInfo(container.pid));
  CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::OfProcess(container.pid));
  // Some runtimes put the processes one level below what config.json names.
  if (!container.cgroup_dir.empty() && cgroup.path() != container.cgroup_dir &&
      !cgroup.path().starts_with(container.cgroup_dir + "/")) {
    return NotRestored("the init process is in the cgroup " + cgroup.path() + ", not in " +
                       container.cgroup_dir);
  }
  if (init.state != 'T' && init.state != 't') return NotRestored("they run already");
  CRYOPOD_ASSIGN_OR_RETURN(const size_t living, CountLiving(cgroup));
  if (tasks != 0 && living != tasks) {
    return NotRestored("there are " + std::to_string(living) + " tasks, the checkpoint has " +
                       std::to_string(tasks));
  }
  container.start_time_ticks = init.start_time_ticks;
  container.cgroup_dir = cgroup.path();
  return Status();
}

Status VerifyAlive(const jobs::ContainerReport& container) {
  const Result<ProcessInfo> init = ReadProcessInfo(container.pid);
  if (!init.ok() || init->start_time_ticks != container.start_time_ticks || IsZombie(*init)) {
    return Status(Code::kFailedPrecondition,
                  "the restored process " + std::to_string(container.pid) + " has ended",
                  Reason::kProcessesEnded);
  }
  return Status();
}

}  // namespace cryopod::restore
