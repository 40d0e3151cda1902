#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/os/proc.h"

namespace cryopod::checkpoint {

// A process whose session no restore can give it back.
struct LostSession {
  ProcessInfo process;
  ProcessInfo parent;
  bool leader_lives = false;  // but is none of its ancestors
};

// Pure: the processes beneath `init` that CRIU dumps and cannot restore. A session is inherited or
// made, never entered, so every process must be forked by one that has its session at that time.
// Orphans of the container's first process may have any session: CRIU forks them from a process
// that it makes for that. Those that another child subreaper (prctl PR_SET_CHILD_SUBREAPER) has
// adopted may not, unless their session's leader is an ancestor. `processes` in any order; of
// several with one PID the first counts.
//
// Source   CRIU 4.2.1, criu/pstree.c (prepare_pstree_ids) and criu/cr-restore.c
//          (create_children_and_session, restore_sid).
std::vector<LostSession> FindLostSessions(const std::vector<ProcessInfo>& processes, pid_t init);

}  // namespace cryopod::checkpoint
