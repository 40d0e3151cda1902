#include "agent/daemon/operations/collect_result.h"

#include <chrono>
#include <thread>
#include <utility>

#include "agent/checkpoint/repair_job.h"
#include "agent/jobs/job_file.h"
#include "agent/os/deadline.h"
#include "agent/os/log.h"

namespace cryopod::daemon {
namespace {

using std::chrono::seconds;

// A CRIU that still dumps is waited for, not killed: as long as a checkpoint may take at the most.
constexpr seconds kRepairTimeout{600};
// Between two tries to thaw what could not be thawed.
constexpr seconds kReleaseInterval{5};
constexpr std::chrono::milliseconds kLookInterval{100};

// Of a checkpoint whose process died in this stage.
std::string WhatIsLeft(const std::string& stage) {
  if (stage == "commit") {
    return "the pod runs on; \"cryopodctl list\" shows whether the archive was still committed";
  }
  if (stage == "stop") return "the archive is committed, and the pod runs on";
  return "nothing was archived and the pod runs on";
}

// Returns what the last repair said, once nothing of the pod stands still any more.
Status RepairPatiently(const std::stop_token& stop, Operation& operation,
                       const std::string& job_dir) {
  if (!checkpoint::IsReleased(job_dir)) {
    operation.Report({"release", "", 0, 0});
    Log(LogLevel::kWarning, "the pod may stand still: it is looked after until it runs",
        {{"operation", operation.id()}, {"pod", operation.pod()}});
  }
  while (true) {
    Status repaired = checkpoint::RepairJob(job_dir, Deadline::After(kRepairTimeout), stop);
    if (repaired.code() == Code::kCancelled || jobs::IsNotUnderstood(repaired)) return repaired;
    if (checkpoint::IsReleased(job_dir)) return repaired;
    Log(LogLevel::kError, "the pod may still stand still",
        {{"operation", operation.id()}, {"pod", operation.pod()}, {"reason", repaired.message()}});
    for (const Deadline pause = Deadline::After(kReleaseInterval); !pause.expired();) {
      if (stop.stop_requested()) return Status(Code::kCancelled, "the agent ends");
      std::this_thread::sleep_for(kLookInterval);
    }
  }
}

}  // namespace

Result<jobs::CheckpointResult> CollectResult(const std::stop_token& stop, Operation& operation,
                                             const std::string& job_dir) {
  using jobs::CheckpointResult;
  Result<CheckpointResult> reported =
      jobs::ReadFileOf<CheckpointResult>(job_dir, jobs::kResultFile);
  if (jobs::IsNotUnderstood(reported.status())) return reported;
  if (reported.ok() && !reported->may_be_frozen) return reported;
  const std::string stage = operation.progress().stage;
  Status repaired = RepairPatiently(stop, operation, job_dir);
  if (repaired.code() == Code::kCancelled || jobs::IsNotUnderstood(repaired)) return repaired;
  if (reported.ok()) return reported;
  // The source was past its cut: the repair has ended it, and with that the checkpoint is whole.
  Result<CheckpointResult> decided =
      jobs::ReadFileOf<CheckpointResult>(job_dir, jobs::kStoppingFile);
  if (jobs::IsNotUnderstood(decided.status())) return decided;
  if (decided.ok()) {
    if (!repaired.ok()) {
      decided->status = Status(repaired.code(), "the archive " + decided->archive +
                                                    " is committed, but stopping the source "
                                                    "failed: " +
                                                    repaired.message());
    }
    return decided;
  }
  std::string message =
      "cryopod-checkpoint ended in stage " + stage + " without a result; " + WhatIsLeft(stage);
  if (!repaired.ok()) message += " (repairing: " + repaired.message() + ")";
  CheckpointResult result;
  result.status = Status(Code::kInternal, message, Reason::kProcessDied);
  return result;
}

}  // namespace cryopod::daemon
