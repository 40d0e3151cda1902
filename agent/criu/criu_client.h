#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "agent/criu/dump_options.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"

namespace cryopod::criu {

struct Version {
  int major = 0;
  int minor = 0;
  int sublevel = 0;
  std::string text() const;  // "4.2.1"
};

// The oldest CRIU that dumps a cgroup which is frozen already.
inline constexpr int kMajorMin = 4;
inline constexpr int kMinorMin = 1;

// Asks `criu` for its version and refuses one below 4.1 with a message that names both versions.
// Errors: kNotFound (no such program; names it and the package to install), kFailedPrecondition.
Result<Version> CheckVersion(const std::string& criu_program, Deadline deadline);
// `criu check` (CHECK request): can this CRIU work on this kernel? Errors: kFailedPrecondition with
// CRIU's own reason.
Status CheckFeatures(const std::string& criu_program, Deadline deadline);

// One `criu swrk` process: started and parked until Dump sends it its request, so that its start-up
// costs nothing inside a freeze. Own session, empty environment (PATH only), umask 077, stdin/out/err
// on /dev/null. CRIU is never killed inside a dump: destroying a CriuProcess that is dumping closes
// the socket and leaves the process to finish or unwind.
//
// Source   CRIU criu/cr-service.c (swrk), images/rpc.proto.
// Threads  one thread at a time.
class CriuProcess {
 public:
  static Result<CriuProcess> Spawn(const std::string& criu_program);

  int pidfd() const { return process_.pidfd(); }
  pid_t pid() const { return process_.pid(); }

  // Dumps with leave-running into `images_dir_fd`, logs to dump.log in `work_dir_fd`, and waits for
  // CRIU to end. manage_cgroups IGNORE, network_lock SKIP, tcp_close, tcp_skip_in_flight,
  // file_locks, link_remap off, force_irmap, orphan_pts_master, log level 4.
  // When the deadline passes, CRIU is given `grace` more to end by itself; then SIGTERM, then, after
  // 5 s, SIGKILL; that is reported.
  // Errors: kDeadlineExceeded; kUnknown or a better code with the reason out of the log.
  Status Dump(const DumpOptions& options, int images_dir_fd, int work_dir_fd, Deadline deadline);

  // Ends a parked process that has not been asked to dump.
  void Discard();

 private:
  CriuProcess(Subprocess process, UniqueFd socket)
      : process_(std::move(process)), socket_(std::move(socket)) {}
  Subprocess process_;
  UniqueFd socket_;
};

}  // namespace cryopod::criu
