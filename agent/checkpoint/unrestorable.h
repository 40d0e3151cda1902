#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/os/cgroup.h"
#include "agent/os/proc.h"
#include "agent/os/reason.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// One process of a container, read once for all that is asked about it: a pod may hold thousands of
// descriptors.
struct SeenProcess {
  struct Link {
    std::string name;  // in its directory of /proc: "cwd", "root", "exe", "fd/7"
    std::string target;
  };
  ProcessInfo info;
  std::vector<Link> links;
};

// Errors: kNotFound when it has ended.
Result<SeenProcess> LookAtProcess(pid_t pid);
// Those that have ended meanwhile are left out.
Result<std::vector<SeenProcess>> LookAtProcesses(const Cgroup& cgroup);

// Pipes, and as many named ones, of which CRIU can keep what waits in them, in one container.
// Source: CRIU 4.2.1, criu/include/pipes.h (NR_PIPES_WITH_DATA).
inline constexpr uint64_t kPipesMax = 1024;

// One thing that stands against a checkpoint, as a sentence that names container, process and
// remedy.
struct Objection {
  Reason word = Reason::kNone;
  std::string sentence;
};

struct Inspection {
  // What CRIU would dump and could not restore, or whose dump it refuses with words that help
  // nobody.
  std::vector<Objection> objections;
  // That CRIU's images take beside the pages of memory: deleted files that are open, pipes, and
  // what describes each process and thread.
  uint64_t images_bytes = 0;
};

// `processes` are those of the container, read at about the same time. What has ended meanwhile is
// passed over.
Inspection InspectProcesses(const DumpTarget& target, const std::vector<SeenProcess>& processes);

// Pure: why a restore cannot open `path` of a proc file system; empty when it can. A restore opens
// files when all processes are there and, of each, the first thread alone; an ended process has a
// stand-in, where proc is mounted right beneath the root (`at_root`). `processes` and `threads`
// (those that are not first ones) are numbered as that file system numbers them.
//
// Source   CRIU 4.2.1, criu/files-reg.c (check_path_remap), criu/pie/restorer.c (threads are cloned
//          after the descriptors are opened).
std::string_view ReasonAgainstProcFile(std::string_view path, bool at_root,
                                       const std::set<pid_t>& processes,
                                       const std::set<pid_t>& threads);

}  // namespace cryopod::checkpoint
