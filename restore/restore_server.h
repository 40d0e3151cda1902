#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "restore/pod_restore.h"

namespace cryopod::restore {

// Serves one pod's restore on the control socket of its job directory until every container runs,
// nobody has asked for long, or the process is told to end (SIGTERM, SIGINT).
//
// Threads  one, on purpose: calls are answered one after another, and `start` of one container
//          returns before `create` of the next is asked, so nobody waits for anybody.
class RestoreServer {
 public:
  // Listens on the control socket; blocks SIGTERM and SIGINT in this thread.
  static Result<RestoreServer> Create(const jobs::RestoreJob& job, const std::string& job_dir);

  // Returns when it is over; the last report says how. Errors: kInternal (poll).
  Status Run(PodRestore& pod);

 private:
  // A wrapper whose runtime restores now.
  struct Attempt {
    UniqueFd connection;
    std::string container_id;
  };

  RestoreServer(UniqueFd listener, UniqueFd signals, std::chrono::seconds idle_timeout)
      : listener_(std::move(listener)), signals_(std::move(signals)), idle_timeout_(idle_timeout) {}

  // The descriptors that say something, or whose peer is gone.
  Result<std::set<int>> Wait(const PodRestore& pod, Deadline idle_end) const;
  void ServeReady(PodRestore& pod, const std::set<int>& ready);
  // False when the peer is gone.
  bool ServeControl(PodRestore& pod, int control);
  void Serve(PodRestore& pod, const std::string& bytes, UniqueFd connection);

  UniqueFd listener_;
  UniqueFd signals_;
  std::chrono::seconds idle_timeout_;
  std::vector<UniqueFd> controls_;
  std::vector<Attempt> attempts_;
};

}  // namespace cryopod::restore
