#pragma once

#include <csignal>

namespace cryopod {

// Blocks signals for the calling thread while it lives.
//
// A child inherits the mask: one that was forked meanwhile runs none of our handlers until it has
// put its own dispositions in order.
class BlockedSignals {
 public:
  // All of them, or `signal` alone.
  BlockedSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &previous_);
  }
  explicit BlockedSignals(int signal) {
    sigset_t one;
    ::sigemptyset(&one);
    ::sigaddset(&one, signal);
    ::pthread_sigmask(SIG_BLOCK, &one, &previous_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }

 private:
  sigset_t previous_;
};

}  // namespace cryopod
