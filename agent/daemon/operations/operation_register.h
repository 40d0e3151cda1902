#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/daemon/operations/operation.h"
#include "agent/os/status.h"

namespace cryopod::daemon {

// A job that this agent does not understand: another version's. It is left alone, with its process,
// its CRIU and its guard.
struct ForeignJob {
  std::string id;
  std::string why;
};

// The operations of this node, checkpoints and restores, whoever asked. Those that run, one a pod;
// and, on disk, those that have ended: the last kEndedMax of the last kEndedAge.
//
// Shape    <state dir>/operations/<id>.json, written by jobs::WriteFileOf.
// Threads  any.
class OperationRegister {
 public:
  explicit OperationRegister(const std::string& state_dir) : state_dir_(state_dir) {}

  static constexpr size_t kEndedMax = 256;
  static constexpr std::chrono::hours kEndedAge{7 * 24};

  struct Begun {
    std::shared_ptr<Operation> operation;
    bool found = false;  // it was there: the caller has asked before
  };
  // Errors: kInvalidArgument (the ID), kAborted with the ID of the operation that runs on the pod,
  // kAlreadyExists (the ID is that of another operation: other pod, archive or kind).
  Result<Begun> Begin(OperationFacts facts);
  // It has ended. What it came to is on disk before `remove_job` removes its directory, by which
  // the next agent would find out; and both are done when whoever waits hears of it.
  void Finish(const std::shared_ptr<Operation>& operation, Outcome outcome,
              const std::function<void()>& remove_job = {});
  // It never ran: who asks again with its ID begins anew.
  void Drop(const Operation& operation);

  // Running or ended. Errors: kNotFound.
  Result<std::shared_ptr<Operation>> Find(const std::string& id) const;
  // The one that was asked for before, with this ID. Errors: kNotFound; kAlreadyExists, as Begin.
  Result<std::shared_ptr<Operation>> FindSame(const OperationFacts& asked) const;
  // The one that runs on it; nullptr: there is none.
  std::shared_ptr<Operation> FindByPod(const std::string& pod_key) const;
  std::vector<std::shared_ptr<Operation>> ListRunning() const;
  // Newest first.
  std::vector<std::shared_ptr<Operation>> ListEnded() const;

  void AddForeign(const std::string& id, const Status& why);
  std::vector<ForeignJob> ListForeign() const;

  // Where the logs of a failed operation are kept; empty: there are none.
  std::string LogFolder(const std::string& id) const;

 private:
  std::string EndedDir() const { return state_dir_ + "/operations"; }
  Result<std::shared_ptr<Operation>> FindLocked(const std::string& id) const;
  Status Remember(const Operation& operation, const Outcome& outcome) const;

  const std::string state_dir_;
  mutable std::mutex mutex_;                                   // guards all below
  std::map<std::string, std::shared_ptr<Operation>> running_;  // by pod
  std::vector<ForeignJob> foreign_;
};

}  // namespace cryopod::daemon
