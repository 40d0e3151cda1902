#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <thread>

#include "agent/daemon/operations/operation_register.h"
#include "agent/jobs/pod_journal.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"

namespace cryopod::daemon {

// What RestorePod calls of an agent that is gone have left in the runtime: a pod that was restored
// as a whole is kept, any other is stopped and removed. A pod is ours when it carries the restore's
// own annotation; nothing else is ever touched.
//
// Threads  one of its own, which asks the runtime again until all is settled.
class HalfMadePods {
 public:
  HalfMadePods(const settings::AgentSettings& config, cri::RuntimeClient& runtime,
               OperationRegister& operations);
  // What is not settled by then is left to the next agent. Lasts as long as one call of the runtime
  // that is under way.
  ~HalfMadePods();

  // At start-up: begins to settle what the journals of these operations hold, in the background.
  // Those that are not understood are left alone.
  void Settle(const std::vector<std::string>& operation_ids);

 private:
  struct Entry {
    jobs::PodJournal journal;
    std::shared_ptr<Operation> operation;  // may be nullptr: another one runs on the pod
    Deadline::Clock::time_point began = Deadline::Clock::now();
    bool complained = false;
  };
  void Work(const std::stop_token& stop, std::list<Entry> entries);
  bool IsSettled(Entry& entry);
  Result<std::string> SettleOne(const Entry& entry);
  Result<bool> IsWhole(const Entry& entry, const cri::PodSandbox& pod);
  Status Undo(const std::string& sandbox_id);

  const settings::AgentSettings& config_;
  cri::RuntimeClient& runtime_;
  OperationRegister& operations_;
  std::jthread thread_;
};

}  // namespace cryopod::daemon
