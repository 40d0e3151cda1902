#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "agent/criu/dump_options.h"
#include "agent/criu/swrk.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::criu {

// The oldest CRIU that dumps a cgroup which is frozen already.
inline constexpr int kMajorMin = 4;
inline constexpr int kMinorMin = 1;

// "4.1 or newer".
std::string MinimumText();

// Asks `criu_program` (a path, or a name in our PATH) for its version and refuses one below 4.1
// with a message that names both versions. Errors: kNotFound (no such program; names it and the
// package to install), kFailedPrecondition (too old, or no CRIU), kDeadlineExceeded.
Result<Version> CheckVersion(const std::string& criu_program, Deadline deadline);

// The same in two halves: a CRIU that was asked, and starts up and answers while its asker does
// something else. Destroyed without Answer it ends by itself.
class VersionInquiry {
 public:
  static Result<VersionInquiry> Begin(const std::string& criu_program);
  Result<Version> Answer(Deadline deadline) &&;

 private:
  VersionInquiry(std::string criu_program, Swrk swrk)
      : criu_program_(std::move(criu_program)), swrk_(std::move(swrk)) {}
  std::string criu_program_;
  Swrk swrk_;
};

// Can this CRIU work on this kernel? Asks for features and for `criu check`. CRIU keeps what it
// learns of the kernel in /run/criu.kdat (where /run is a tmpfs): without that file the next dump
// learns it anew, some 30 ms inside a freeze, so call this before the first dump after a boot.
// Errors: kFailedPrecondition with CRIU's own reason, kNotFound, kDeadlineExceeded.
Status CheckFeatures(const std::string& criu_program, Deadline deadline);

// How a CRIU is ended that nobody wants any more: its next write fails, which makes it let its
// tasks go and end, for which it gets `unwind`. Only one that holds no task any more gets SIGTERM
// then, and after `term` SIGKILL; one that still holds some is left to end by itself.
struct Patience {
  std::chrono::milliseconds unwind{10'000};
  std::chrono::milliseconds term{5'000};
};

// One `criu swrk` process: started and parked right before it touches the first task, so that its
// start-up costs nothing inside a freeze. CRIU is never killed inside a dump: destroying a
// CriuProcess that is dumping closes the socket and leaves the process to finish or unwind. So does
// the death of the process that owns it.
//
// Threads  one thread at a time.
class CriuProcess {
 public:
  // `tools_dir`, unless empty: where CRIU looks first for the programs it runs. Errors: kNotFound
  // (no such program; names the package).
  static Result<CriuProcess> Spawn(const std::string& criu_program, Patience patience = {},
                                   const std::string& tools_dir = "");

  int pidfd() const { return swrk_.process.pidfd(); }
  pid_t pid() const { return swrk_.process.pid(); }

  // Asks for a dump with leave-running into `images_dir_fd`, logged to dump.log in `work_dir_fd`,
  // and returns when CRIU has set itself up and waits for Dump.
  //
  // The directories are borrowed until the end of Dump. They need not have been open when the
  // process was spawned: CRIU opens /proc/<pid>/fd/<number> of whoever made the socket, so Park
  // belongs into the process that called Spawn, and a child forked in between cannot take it over.
  // Once only. Errors: kDeadlineExceeded, kUnavailable (CRIU had ended before), kFailedPrecondition
  // (second call), kUnknown or a better code with the reason out of the log.
  Status Park(const DumpOptions& options, int images_dir_fd, int work_dir_fd, Deadline deadline);

  // Lets a parked process dump, and returns as soon as CRIU has said that it is done: by then it
  // has let go of the tasks and written everything, its own end is not waited for. `unwanted` is
  // asked again and again meanwhile: once it says yes, the dump is made to end. Errors as Park's;
  // kCancelled (unwanted) and kDeadlineExceeded say how CRIU ended.
  Status Dump(
      Deadline deadline, const std::function<bool()>& unwanted = [] { return false; });
  // After an error of Dump: is there still a CRIU that holds the container's tasks?
  bool StillHolds() const;

  // Waits for the end of a CRIU that has dumped; one that does not end is ended.
  void Finish();

  // Ends a process that has not begun to dump, parked or not; returns when it is gone. Does nothing
  // after a Dump.
  void Discard();

 private:
  CriuProcess(Swrk swrk, Patience patience) : swrk_(std::move(swrk)), patience_(patience) {}
  Result<Answer> Hear(Deadline deadline, const std::function<bool()>& unwanted);
  Status EndAndTell(const Result<Answer>& answer, Deadline deadline);

  Swrk swrk_;
  Patience patience_;
  int work_dir_fd_ = -1;
  bool is_parked_ = false;
  bool has_begun_ = false;
  bool has_ended_ = false;  // or was given up
};

}  // namespace cryopod::criu
