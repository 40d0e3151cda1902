#include "agent/os/reason.h"

#include <array>

namespace cryopod {
namespace {

// In the order of the enumeration.
constexpr std::array<std::string_view, kReasonCount> kNames = {
    "none",
    "invalid_request",
    "not_found",
    "archive_exists",
    "busy",
    "refused",
    "pod_not_running",
    "content_not_carried",
    "cancelled",
    "exec_session",
    "traced",
    "process_stopped",
    "not_stoppable",
    "pod_changed",
    "host_pid",
    "user_namespace",
    "nested_namespace",
    "io_uring",
    "userfaultfd",
    "device",
    "unsupported_descriptor",
    "unsupported_memory",
    "unsupported_socket",
    "external_socket",
    "tcp_connection",
    "deleted_file",
    "file_outside",
    "file_lock",
    "file_watch",
    "terminal",
    "mount",
    "ipc_outside",
    "posix_timer",
    "proc_task_file",
    "orphaned_session",
    "too_many_pipes",
    "archive_damaged",
    "unknown_version",
    "node_differs",
    "cpu_features",
    "pid_taken",
    "file_absent",
    "file_changed",
    "mount_absent",
    "address",
    "security_context",
    "not_verified",
    "processes_ended",
    "no_space",
    "resources",
    "permission",
    "timeout",
    "criu_unfit",
    "criu_failed",
    "runtime_unavailable",
    "runtime_failed",
    "process_died",
    "internal",
    "other",
};

}  // namespace

std::string_view ReasonName(Reason reason) {
  const auto index = static_cast<size_t>(reason);
  return index < kNames.size() ? kNames[index] : kNames[static_cast<size_t>(Reason::kOther)];
}

Reason ReasonFromName(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Reason>(i);
  }
  return Reason::kOther;
}

}  // namespace cryopod
