#include "agent/daemon/operations/operation.h"

#include <utility>

namespace cryopod::daemon {
namespace {

// Of stages: what goes on inside one takes no room. More than any operation has, so that one that
// goes round and round does not grow the agent.
constexpr size_t kReportedMax = 1024;

}  // namespace

void Describe(json::Fields& fields, RestoredContainer& container) {
  fields.Optional("name", container.name);
  fields.Optional("id", container.id);
  fields.Optional("pid", container.pid);
}

Operation::Operation(OperationFacts facts, Outcome outcome)
    : facts_(std::move(facts)), finished_(true), outcome_(std::move(outcome)) {}

void Operation::Report(const jobs::JobEvent& event) {
  const std::lock_guard lock(mutex_);
  if (event.stage == "freeze" || event.stage == "release") frozen_ = true;
  if (event.stage == "thaw" || event.stage == "remove") frozen_ = false;
  ++reports_;
  if (!reported_.empty() && reported_.back().event.stage == event.stage &&
      reported_.back().event.container == event.container) {
    reported_.back() = {reports_, event};
  } else {
    reported_.push_back({reports_, event});
  }
  if (reported_.size() > kReportedMax) reported_.pop_front();
  changed_.notify_all();
}

void Operation::Finish(Outcome outcome) {
  const std::lock_guard lock(mutex_);
  outcome_ = std::move(outcome);
  finished_ = true;
  frozen_ = false;
  ask_ = nullptr;
  changed_.notify_all();
}

Operation::News Operation::WaitForNews(uint64_t seen, Deadline deadline) const {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline.instant(), [&] { return finished_ || reports_ > seen; });
  News news;
  news.finished = finished_;
  news.seen = reports_;
  for (const Reported& reported : reported_) {
    if (reported.number > seen) news.events.push_back(reported.event);
  }
  return news;
}

jobs::JobEvent Operation::progress() const {
  const std::lock_guard lock(mutex_);
  return reported_.empty() ? jobs::JobEvent{"starting", "", 0, 0} : reported_.back().event;
}

bool Operation::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

bool Operation::frozen() const {
  const std::lock_guard lock(mutex_);
  return frozen_;
}

void Operation::OnCancel(std::function<void()> ask) {
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    if (!cancelled_) {
      ask_ = std::move(ask);
      return;
    }
  }
  ask();
}

Status Operation::Cancel() {
  std::function<void()> ask;
  {
    const std::lock_guard lock(mutex_);
    if (finished_) {
      return Status(Code::kFailedPrecondition, "operation " + facts_.id + " has ended already");
    }
    cancelled_ = true;
    ask = std::exchange(ask_, nullptr);
  }
  if (ask) ask();
  return Status();
}

bool Operation::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

}  // namespace cryopod::daemon
