#pragma once

#include <string>

#include "agent/archive/unpack/unpack_task.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"

namespace cryopod::archive {

// One run of cryopod-unpack, seen by whoever started it. Destroyed, it has ended and is reaped.
//
// Threads  the one that started it: the process dies with its thread.
class UnpackProcess {
 public:
  // The descriptors are borrowed; the process gets these two, a pipe to report on, /dev/null as
  // descriptors 0 to 2, and an empty environment.
  static Result<UnpackProcess> Start(const std::string& program, const UnpackTask& task,
                                     int input_fd, int output_fd, Deadline deadline);
  UnpackProcess(UnpackProcess&&) noexcept = default;
  UnpackProcess& operator=(UnpackProcess&&) = delete;
  ~UnpackProcess();

  // Waits for the end and says how it went. Errors: what the process reported; kInternal (it died
  // or reported nonsense); kDeadlineExceeded, it was killed.
  Status Wait(Deadline deadline);
  pid_t pid() const { return child_.pid(); }
  // Ends it now; what it reports no longer counts.
  void Kill();

 private:
  UnpackProcess(Subprocess child, UniqueFd report)
      : child_(std::move(child)), report_(std::move(report)) {}
  Subprocess child_;
  UniqueFd report_;
  bool ended_ = false;
};

// Both ends close-on-exec; `read` is non-blocking.
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
Result<Pipe> MakePipe();

}  // namespace cryopod::archive
