#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

namespace cryopod::daemon {

// Threads that end by themselves. Their owner's end asks all of them to stop, and waits.
//
// Threads  any.
class Workers {
 public:
  ~Workers() {
    for (Worker& worker : workers_) worker.thread.request_stop();
  }
  // `work` is called with the stop_token.
  template <typename Work>
  void Start(Work work) {
    const std::lock_guard lock(mutex_);
    ForgetEnded();
    Worker& worker = workers_.emplace_back();
    worker.thread = std::jthread(
        [&ended = worker.ended, work = std::move(work)](const std::stop_token& stop) mutable {
          work(stop);
          ended = true;
        });
  }
  size_t CountRunning() {
    const std::lock_guard lock(mutex_);
    ForgetEnded();
    return workers_.size();
  }

 private:
  struct Worker {
    std::atomic<bool> ended = false;
    std::jthread thread;
  };
  void ForgetEnded() {
    workers_.remove_if([](const Worker& worker) { return worker.ended.load(); });
  }
  std::mutex mutex_;  // guards workers_
  std::list<Worker> workers_;
};

}  // namespace cryopod::daemon
