// The part of PodRestore that answers `start` and lets the pod run.
#include <algorithm>

#include "agent/os/log.h"
#include "agent/os/text.h"
#include "restore/pod_restore.h"
#include "restore/restore_container.h"
#include "restore/runtime/protocol/container_marks.h"

namespace cryopod::restore {
namespace {

using std::chrono::seconds;
using wrapper::Answer;
using wrapper::Request;

// Of all containers together they stay below what a record may hold.
constexpr size_t kRemarkBytesMax = 1000;
constexpr seconds kReleaseInterval{1};

}  // namespace

Answer PodRestore::OnStart(const Request& request) {
  const Result<jobs::ContainerReport*> found = FindContainer(request.container_name);
  if (!found.ok()) return Answer::Fail(found.status().message());
  jobs::ContainerReport& container = **found;
  if (container.id != request.container_id) {
    return Answer::Fail("container " + request.container_id + " is not the one that was restored");
  }
  if (Runs(container) || IsHeld(container)) return Answer::Pass();
  if (container.phase != jobs::Phase::kRestored) {
    return Answer::Fail("container " + container.name + " is " +
                        std::string(jobs::PhaseName(container.phase)) + ", not restored");
  }
  const Status held = Hold(request, container);
  if (!held.ok()) return GiveUp(container, held);
  container.phase = jobs::Phase::kHeld;
  if (!hold_end_.has_value()) hold_end_ = Deadline::After(job_.hold);
  Save();
  LookAtHeld();
  Status released = IsReleaseDue() ? ReleaseHeld() : Status();
  return released.ok() ? Answer::Pass() : GiveUp(container, released);
}

// With the mark in place a wrapper that gets no answer can record it and let the processes run by
// itself.
Status PodRestore::Hold(const Request& request, jobs::ContainerReport& container) {
  CRYOPOD_RETURN_IF_ERROR(VerifyAlive(container));
  if (job_.restore_once) {
    CRYOPOD_RETURN_IF_ERROR(wrapper::ClaimOnce(job_.state_dir, job_.digest, OnceRecordOf()));
  }
  container.state_dir = request.state_dir;
  return wrapper::WriteHeldMark(
      container.state_dir,
      {container.cgroup_dir, job_.pod_uid, ConsumedBy(request, container), container.frozen});
}

// What is let run with this container alone.
wrapper::ConsumedRecord PodRestore::ConsumedBy(const Request& request,
                                               const jobs::ContainerReport& container) const {
  wrapper::ConsumedRecord record;
  record.restore_from = job_.restore_from;
  record.restore_operation = job_.restore_operation;
  record.operation_id = job_.operation_id;
  record.sandbox_id = request.sandbox_id;
  const auto attempt = attempts_.find(container.name);
  record.restored[container.name] =
      attempt == attempts_.end() ? "" : Printable(attempt->second.remark, kRemarkBytesMax);
  for (const jobs::ContainerReport& other : report_.containers) {
    if (other.name != container.name && !Runs(other)) record.waiting.insert(other.name);
  }
  record.replaced = replaced_;
  std::ranges::set_difference(finished_, replaced_,
                              std::inserter(record.finished, record.finished.end()));
  return record;
}

bool PodRestore::WasRestored(const jobs::ContainerReport& container) const {
  Request request;
  request.pod_uid = job_.pod_uid;
  request.container_name = container.name;
  request.restore_from = job_.restore_from;
  request.restore_operation = job_.restore_operation;
  const Result<bool> restored = wrapper::WasRestored(job_.state_dir, request);
  return restored.ok() && *restored;
}

// A wrapper may have let one run for an exec; and whose processes have ended has not run, and is
// restored with the others when its runtime asks for it again.
void PodRestore::LookAtHeld() {
  for (jobs::ContainerReport& container : report_.containers) {
    if (!IsHeld(container)) continue;
    if (!wrapper::IsHeld(container.state_dir) && WasRestored(container)) {
      container.phase = jobs::Phase::kStarted;
      continue;
    }
    const Status alive = VerifyAlive(container);
    if (!alive.ok()) GiveUp(container, alive);
  }
}

std::optional<Deadline> PodRestore::release_time() const {
  if (!hold_end_ || std::ranges::none_of(report_.containers, IsHeld)) return std::nullopt;
  Deadline::Clock::time_point time = hold_end_->instant();
  for (const jobs::ContainerReport& container : report_.containers) {
    const auto attempt = attempts_.find(container.name);
    if (!IsUnderWay(container) || attempt == attempts_.end() || !attempt->second.end) continue;
    time = std::max(time, attempt->second.end->instant());
  }
  return Deadline::At(time);
}

bool PodRestore::IsReleaseDue() const {
  const bool all_are_there = std::ranges::all_of(
      report_.containers,
      [](const jobs::ContainerReport& container) { return Runs(container) || IsHeld(container); });
  const std::optional<Deadline> time = release_time();
  return all_are_there || (time && time->expired());
}

Status PodRestore::ReleaseHeld() {
  LookAtHeld();
  std::vector<std::string> state_dirs;
  for (const jobs::ContainerReport& container : report_.containers) {
    if (IsHeld(container)) state_dirs.push_back(container.state_dir);
  }
  Status released = wrapper::ReleaseHeld(job_.state_dir, state_dirs);
  if (!released.ok()) {
    Log(LogLevel::kError, "letting held containers run", {{"reason", released.message()}});
    hold_end_ = Deadline::After(kReleaseInterval);
    return released;
  }
  for (jobs::ContainerReport& container : report_.containers) {
    if (IsHeld(container)) container.phase = jobs::Phase::kStarted;
  }
  if (finished()) report_.stage = jobs::Stage::kRestored;
  Save();
  return Status();
}

// A container that was created and whose `start` nobody has heard of.
Answer PodRestore::OnDeleted(const Request& request) {
  const Result<jobs::ContainerReport*> found = FindContainer(request.container_name);
  if (!found.ok() || (*found)->id != request.container_id) return Answer::Pass();
  jobs::ContainerReport& container = **found;
  LookAtHeld();
  if (container.phase == jobs::Phase::kRestored || IsHeld(container)) {
    EndAttempt(container);
    container.phase = jobs::Phase::kWaiting;
    Save();
  }
  return Answer::Pass();
}

}  // namespace cryopod::restore
