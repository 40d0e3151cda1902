#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/proc.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

enum class CgroupVersion { kV1, kV2 };

enum class FreezeState { kThawed, kFreezing, kFrozen };

// One cgroup as far as freezing and counting go: the freezer hierarchy on v1, the unified one on
// v2. It is its directory descriptor, not its path: a cgroup that is removed and made again is
// another.
//
// Source   kernel Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst
//          ("cgroup.freeze", "cgroup.events", "cgroup.kill").
// Threads  any; there is no state but the descriptor.
class Cgroup {
 public:
  // The leaf cgroup of a process: /proc/<pid>/cgroup looked up in the mounts of this node, and the
  // process is listed there. v1's freezer wins where it has the process, else the unified
  // hierarchy. The top of a hierarchy as this node sees it is never the answer: it holds the node.
  // Errors: kNotFound (no such process), kFailedPrecondition (no hierarchy that can freeze; says
  // where the process is).
  static Result<Cgroup> OfProcess(pid_t pid);
  // A cgroup by the path of its directory.
  static Result<Cgroup> Open(const std::string& path);
  // One whose directory somebody else has opened; `name` stands for its path in errors.
  static Cgroup FromDirectory(UniqueFd dir, CgroupVersion version, std::string name) {
    return Cgroup(version, std::move(name), std::move(dir));
  }

  // A hierarchy's root cannot: it has no such file.
  bool CanFreeze() const;

  CgroupVersion version() const { return version_; }
  const std::string& path() const { return path_; }
  int dir_fd() const { return dir_fd_.get(); }

  // Asks; returns at once.
  Status Freeze() const;
  Status Thaw() const;
  Result<FreezeState> State() const;
  // Waits (poll on cgroup.events; v1 has no event and is read, and asked, again with a growing
  // pause). Errors: kDeadlineExceeded.
  Status WaitFrozen(Deadline deadline) const;

  // What is in this cgroup and all beneath it, sorted, without duplicates.
  Result<std::vector<pid_t>> Processes() const;
  Result<std::vector<pid_t>> Threads() const;
  // Without zombies, which run nothing and hold nothing any more.
  Result<std::vector<pid_t>> LivingThreads() const;

  // Kills everything in it and beneath it, frozen or not, without letting it run: cgroup.kill; on
  // v1 SIGKILL to every process, then thaw. Waits until it is empty; it is left thawed. One that
  // has been removed was empty. In a hierarchy of v1 that cannot freeze, what is killed may run
  // meanwhile. Errors: kDeadlineExceeded.
  Status Kill(Deadline deadline) const;

 private:
  friend Status KillEach(const std::vector<const Cgroup*>& cgroups, Deadline deadline);
  Status AskFor(const char* v1_state, const char* v2_state) const;
  Status KillOnce() const;
  Status WaitEmptied(Deadline deadline) const;
  Cgroup(CgroupVersion version, std::string path, UniqueFd dir_fd)
      : version_(version), path_(std::move(path)), dir_fd_(std::move(dir_fd)) {}
  CgroupVersion version_;
  std::string path_;
  UniqueFd dir_fd_;
};

// Does the process run nothing: in a stop, or in a cgroup that is frozen?
bool StandsStill(const ProcessInfo& process);

// Kill for several at once: every one is told to end before one is waited for, so that none that
// does not end keeps another alive. Returns the first error.
Status KillEach(const std::vector<const Cgroup*>& cgroups, Deadline deadline);

// Pure: the state in the text of freezer.state (v1) or cgroup.events (v2).
Result<FreezeState> ParseFreezerState(std::string_view text);
Result<FreezeState> ParseCgroupEvents(std::string_view text, bool freeze_asked);

// Calls `visit` with the directory of a cgroup and of each beneath it, parents first. One that
// vanishes meanwhile is passed over, also when `visit` says kNotFound of it; the top one is not.
Status VisitCgroups(int dir_fd, const std::function<Status(int dir_fd)>& visit, int depth = 0);

// PIDs in "cgroup.procs" or "tasks" of this cgroup alone. Errors: kFailedPrecondition when one lies
// outside our PID namespace and so has no number; kUnimplemented in a threaded cgroup.
Result<std::vector<pid_t>> ReadCgroupPids(int dir_fd, const std::string& file);

// Removes the cgroup `name` and those beneath it, once they are empty. The kernel lets a task go
// from its cgroup a little after its end is seen, so a busy one is tried again. Absent is success.
Status RemoveCgroupAt(int parent_fd, const std::string& name, Deadline deadline);

}  // namespace cryopod
