#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/jobs/checkpoint_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::daemon {

enum class OperationKind { kCheckpoint, kRestore };

// One checkpoint or restore while it runs, as seen by whoever waits for it.
//
// Threads  any.
class Operation {
 public:
  Operation(std::string id, OperationKind kind, std::string pod, std::string lock_key);

  const std::string& id() const { return id_; }
  OperationKind kind() const { return kind_; }
  const std::string& pod() const { return pod_; }  // NAMESPACE/NAME
  const std::string& lock_key() const { return lock_key_; }

  std::chrono::nanoseconds age() const { return Deadline::Clock::now() - began_; }

  void Report(const jobs::JobEvent& event);
  void Finish(jobs::JobResult result);

  // What was reported since the `seen` of the last news (0: from the beginning), at once when there
  // is something, else when it comes, the operation ends or the deadline passes. Progress inside a
  // stage comes together: of several reports the last one stands for all.
  struct News {
    std::vector<jobs::JobEvent> events;
    bool finished = false;
    uint64_t seen = 0;
  };
  News WaitForNews(uint64_t seen, Deadline deadline) const;
  std::string stage() const;
  // By its own words the pod's containers stand still.
  bool frozen() const;
  // Only after News::finished.
  const jobs::JobResult& result() const { return result_; }

 private:
  const std::string id_;
  const OperationKind kind_;
  const std::string pod_;
  const std::string lock_key_;
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
  jobs::JobResult result_;
};

// The operations that run: one per pod at a time.
//
// Threads  any.
class OperationTable {
 public:
  // `lock_key` identifies the pod: its UID. An empty `id` makes a new one. Errors: kAborted with
  // the ID of the operation that runs.
  Result<std::shared_ptr<Operation>> Begin(OperationKind kind, const std::string& pod,
                                           const std::string& lock_key, const std::string& id = "");
  void End(const Operation& operation);
  std::vector<std::shared_ptr<Operation>> List() const;

 private:
  mutable std::mutex mutex_;                                   // guards running_
  std::map<std::string, std::shared_ptr<Operation>> running_;  // by lock key
};

// "c-20261124-221502-1a2b3c4d": kind, UTC time, chance.
std::string NewOperationId(OperationKind kind);

}  // namespace cryopod::daemon
