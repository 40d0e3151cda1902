#pragma once

#include <string_view>

namespace cryopod {

// Why an operation failed, as one word out of a closed set: what metrics count and alerts name.
// Words stay what they are from one release to the next; new ones may come. A status that carries
// none has the one that its code stands for.
enum class Reason {
  kNone,  // "none": no failure, or nobody has said

  // The request.
  kInvalidRequest,     // "invalid_request": wrong in itself, such as an impossible name
  kNotFound,           // "not_found": no such pod, container or archive
  kArchiveExists,      // "archive_exists": the archive's name is taken
  kBusy,               // "busy": another operation runs on the pod
  kRefused,            // "refused": as things are, and no word below fits
  kPodNotRunning,      // "pod_not_running": the pod or one of its containers does not run
  kContentNotCarried,  // "content_not_carried": volumes or IPC objects that archives do not carry
  kCancelled,          // "cancelled": by somebody, or nobody asked for the rest of the pod

  // Processes of the pod.
  kExecSession,            // "exec_session"
  kTraced,                 // "traced": by a debugger
  kProcessStopped,         // "process_stopped"
  kNotStoppable,           // "not_stoppable": a process waits in the kernel and did not freeze
  kPodChanged,             // "pod_changed": processes came or went in every try
  kHostPid,                // "host_pid"
  kUserNamespace,          // "user_namespace"
  kNestedNamespace,        // "nested_namespace": a process made a namespace of its own
  kIoUring,                // "io_uring"
  kUserfaultfd,            // "userfaultfd"
  kDevice,                 // "device": one is open
  kUnsupportedDescriptor,  // "unsupported_descriptor"
  kUnsupportedMemory,      // "unsupported_memory"
  kUnsupportedSocket,      // "unsupported_socket"
  kExternalSocket,         // "external_socket": its other end is outside the container
  kTcpConnection,          // "tcp_connection"
  kDeletedFile,            // "deleted_file": open, and too large or under another name
  kFileOutside,            // "file_outside": open, and not on a mount of the container
  kFileLock,               // "file_lock"
  kFileWatch,              // "file_watch": inotify without a path
  kTerminal,               // "terminal": of an exec session
  kMount,                  // "mount": of a kind that cannot be saved
  kIpcOutside,             // "ipc_outside": System V memory shared with the node
  kPosixTimer,             // "posix_timer": one whose target or clock is lost
  kProcTaskFile,           // "proc_task_file": a thread's file in /proc is open
  kOrphanedSession,        // "orphaned_session": nobody is left who can pass the session on
  kTooManyPipes,           // "too_many_pipes": more than CRIU can hold

  // The new pod.
  kArchiveDamaged,   // "archive_damaged"
  kUnknownVersion,   // "unknown_version": of an archive, or of a call
  kNodeDiffers,      // "node_differs": older kernel or CRIU, other processor or cgroup version
  kCpuFeatures,      // "cpu_features": processes started with more than this node has
  kPidTaken,         // "pid_taken"
  kFileAbsent,       // "file_absent": open in the archive, absent here
  kFileChanged,      // "file_changed": another size or build than in the archive
  kMountAbsent,      // "mount_absent"
  kAddress,          // "address": one that was listened on is absent or in use
  kSecurityContext,  // "security_context": restored with other rights than the pod asks for
  kNotVerified,      // "not_verified": what runs is not what was dumped
  kProcessesEnded,   // "processes_ended": right after their restore
  kAlreadyRestored,  // "already_restored": an archive that is restored once, by another pod
  kRequestDiffers,   // "request_differs": another image, command or directory than at the cut

  // The node.
  kNoSpace,             // "no_space": disk or memory
  kResources,           // "resources": descriptors, processes, limits
  kPermission,          // "permission": the agent lacks a capability
  kTimeout,             // "timeout": the operation's time was over
  kCriuUnfit,           // "criu_unfit": absent, too old, or not able to work here
  kCriuFailed,          // "criu_failed": with words that are not known
  kRuntimeUnavailable,  // "runtime_unavailable": it does not answer
  kRuntimeFailed,       // "runtime_failed": it refused a call
  kProcessDied,         // "process_died": the operation's own process, killed or crashed
  kInternal,            // "internal"
  kOther,               // "other"
};
inline constexpr int kReasonCount = static_cast<int>(Reason::kOther) + 1;

std::string_view ReasonName(Reason reason);
// A word that is none of ours is kOther.
Reason ReasonFromName(std::string_view name);

}  // namespace cryopod
