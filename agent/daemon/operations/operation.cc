#include "agent/daemon/operations/operation.h"

#include <sys/random.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

namespace cryopod::daemon {
namespace {

// Of stages: what goes on inside one takes no room. More than any operation has, so that one that
// goes round and round does not grow the agent.
constexpr size_t kReportedMax = 1024;

}  // namespace

Operation::Operation(std::string id, OperationKind kind, std::string pod, std::string lock_key)
    : id_(std::move(id)), kind_(kind), pod_(std::move(pod)), lock_key_(std::move(lock_key)) {}

void Operation::Report(const jobs::JobEvent& event) {
  const std::lock_guard lock(mutex_);
  if (event.stage == "freeze") frozen_ = true;
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

void Operation::Finish(jobs::JobResult result) {
  const std::lock_guard lock(mutex_);
  result_ = std::move(result);
  finished_ = true;
  frozen_ = false;
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

std::string Operation::stage() const {
  const std::lock_guard lock(mutex_);
  return reported_.empty() ? std::string("starting") : reported_.back().event.stage;
}

bool Operation::frozen() const {
  const std::lock_guard lock(mutex_);
  return frozen_;
}

Result<std::shared_ptr<Operation>> OperationTable::Begin(OperationKind kind, const std::string& pod,
                                                         const std::string& lock_key,
                                                         const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (const auto running = running_.find(lock_key); running != running_.end()) {
    return Status(Code::kAborted, "operation " + running->second->id() + " runs on pod " + pod +
                                      "; one at a time: try again when it has ended");
  }
  auto operation =
      std::make_shared<Operation>(id.empty() ? NewOperationId(kind) : id, kind, pod, lock_key);
  running_[lock_key] = operation;
  return operation;
}

void OperationTable::End(const Operation& operation) {
  const std::lock_guard lock(mutex_);
  const auto running = running_.find(operation.lock_key());
  if (running != running_.end() && running->second.get() == &operation) running_.erase(running);
}

std::vector<std::shared_ptr<Operation>> OperationTable::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Operation>> list;
  for (const auto& [key, operation] : running_) list.push_back(operation);
  return list;
}

std::string NewOperationId(OperationKind kind) {
  uint32_t chance = 0;
  if (::getrandom(&chance, sizeof chance, 0) != sizeof chance) {
    chance = static_cast<uint32_t>(Deadline::Clock::now().time_since_epoch().count());
  }
  const time_t now = ::time(nullptr);
  tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &utc);
  std::array<char, 16> tail{};
  std::snprintf(tail.data(), tail.size(), "-%08x", chance);
  return std::string(kind == OperationKind::kCheckpoint ? "c-" : "r-") +
         std::string(text.data(), size) + tail.data();
}

}  // namespace cryopod::daemon
