#pragma once

#include <sys/types.h>

#include <memory>
#include <set>
#include <thread>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// The children of these processes that execute `exec` of an OCI runtime, and are in the same PID
// namespace: in the container they are not yet. Without those that go through cryopod-runtime and
// wait at a door of their own.
std::set<pid_t> FindExecs(const std::set<pid_t>& parents);

// Holds the execs of whatever OCI runtime as long as this lives: one that begins meanwhile stands
// still before it has a process in the pod, and then goes on as if nothing had been. They are held
// by ptrace, which ends with the thread that holds them, however that ends. An exec that is quicker
// than we look gets through, and is found out by what it starts.
//
// Source   ptrace(2): PTRACE_SEIZE, PTRACE_INTERRUPT, "If the tracer dies"; containerd 2.1, whose
//          shim is the parent of its containers' first processes and of each `runc exec`.
// Threads  one thread at a time.
class HeldExecs {
 public:
  // `parents` of those that will be held, until `opens` at the latest.
  HeldExecs(std::set<pid_t> parents, Deadline opens);
  // Of the containers of a pod: their shims.
  static std::unique_ptr<HeldExecs> Of(const ResolvedPod& pod, Deadline opens);
  HeldExecs(const HeldExecs&) = delete;
  HeldExecs& operator=(const HeldExecs&) = delete;

  // Waits until those that had begun before have ended, or the patience has: a detached one ends
  // when its process is in its container. Errors: kCancelled.
  Status WaitForThoseThatHadBegun(Deadline patience) const;

 private:
  void Keep(const std::stop_token& stop, Deadline opens) const;

  const std::set<pid_t> parents_;
  const std::set<pid_t> had_begun_;
  std::jthread keeper_;  // last: it uses the others
};

}  // namespace cryopod::checkpoint
