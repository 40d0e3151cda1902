#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_events.h"
#include "agent/jobs/job_file.h"
#include "agent/json/fields.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::daemon {

struct RestoredContainer {
  std::string name;
  std::string id;
  pid_t pid = 0;
};
void Describe(json::Fields& fields, RestoredContainer& container);

struct RestoreReport {
  std::string sandbox_id;
  std::vector<RestoredContainer> containers;
  std::vector<archive::PhaseTiming> phases;
  std::vector<std::string> warnings;  // in what the request differs, a sentence each
};

// What an operation came to.
struct Outcome {
  Status status;
  jobs::CheckpointResult checkpoint;  // its own status is `status`
  RestoreReport restore;
};

// What an operation is, from its beginning on; with its outcome, what is remembered of it.
struct OperationFacts {
  std::string id;  // empty: a new one is made
  jobs::JobKind kind = jobs::JobKind::kCheckpoint;
  std::string pod;      // NAMESPACE/NAME
  std::string pod_key;  // the pod's UID or, of one without, its sandbox: one operation at a time
  std::string archive;
  bool archive_is_asked = true;  // false: its name was made here
  // Of a pod that the agent itself makes: what its runtime's request carries.
  std::string restore_operation;
  std::chrono::seconds timeout{0};  // 0: as long as it takes
  std::chrono::system_clock::time_point began = std::chrono::system_clock::now();
};

// One checkpoint or restore, as seen by whoever waits for it.
//
// Threads  any.
class Operation {
 public:
  explicit Operation(OperationFacts facts) : facts_(std::move(facts)) {}
  // One that has ended.
  Operation(OperationFacts facts, Outcome outcome);

  const OperationFacts& facts() const { return facts_; }
  const std::string& id() const { return facts_.id; }
  const std::string& pod() const { return facts_.pod; }
  std::chrono::nanoseconds age() const { return Deadline::Clock::now() - began_; }

  void Report(const jobs::JobEvent& event);
  void Finish(Outcome outcome);

  // What was reported since the `seen` of the last news (0: from the beginning), at once when there
  // is something, else when it comes, the operation ends or the deadline passes. Progress inside a
  // stage comes together: of several reports the last one stands for all.
  struct News {
    std::vector<jobs::JobEvent> events;
    bool finished = false;
    uint64_t seen = 0;
  };
  News WaitForNews(uint64_t seen, Deadline deadline) const;
  // The last report; of one that has none the stage is "starting".
  jobs::JobEvent progress() const;
  // By its own words the pod's containers stand still.
  bool frozen() const;
  bool finished() const;
  // Only after that.
  const Outcome& outcome() const { return outcome_; }

  // `ask` tells whoever works on it to unwind; it is called at most once, and at once when Cancel
  // came first.
  void OnCancel(std::function<void()> ask);
  // Errors: kFailedPrecondition when it has ended.
  Status Cancel();
  bool cancelled() const;

 private:
  const OperationFacts facts_;
  const Deadline::Clock::time_point began_ = Deadline::Clock::now();
  mutable std::mutex mutex_;  // guards everything below until finished_
  mutable std::condition_variable changed_;
  struct Reported {
    uint64_t number;  // 1 is the first report
    jobs::JobEvent event;
  };
  std::deque<Reported> reported_;
  uint64_t reports_ = 0;
  bool frozen_ = false;
  bool finished_ = false;
  bool cancelled_ = false;
  std::function<void()> ask_;
  Outcome outcome_;
};

}  // namespace cryopod::daemon
