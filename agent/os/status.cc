#include "agent/os/status.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <system_error>

namespace cryopod {
namespace {

struct CodeMeaning {
  std::string_view name;
  Reason reason;  // of a failure that nobody has named more closely
};

// By code number.
constexpr std::array<CodeMeaning, 17> kCodes = {{
    {"OK", Reason::kNone},
    {"CANCELLED", Reason::kCancelled},
    {"UNKNOWN", Reason::kOther},
    {"INVALID_ARGUMENT", Reason::kInvalidRequest},
    {"DEADLINE_EXCEEDED", Reason::kTimeout},
    {"NOT_FOUND", Reason::kNotFound},
    {"ALREADY_EXISTS", Reason::kArchiveExists},
    {"PERMISSION_DENIED", Reason::kPermission},
    {"RESOURCE_EXHAUSTED", Reason::kResources},
    {"FAILED_PRECONDITION", Reason::kRefused},
    {"ABORTED", Reason::kBusy},
    {"OUT_OF_RANGE", Reason::kOther},
    {"UNIMPLEMENTED", Reason::kUnknownVersion},
    {"INTERNAL", Reason::kInternal},
    {"UNAVAILABLE", Reason::kRuntimeUnavailable},
    {"DATA_LOSS", Reason::kArchiveDamaged},
    {"UNAUTHENTICATED", Reason::kOther},
}};

// In the order of the enumeration.
constexpr std::array<std::string_view, kReasonCount> kReasonNames = {
    "none",
    // The request.
    "invalid_request", "not_found", "archive_exists", "busy", "refused", "pod_not_running",
    "content_not_carried", "cancelled",
    // Processes of the pod.
    "exec_session", "traced", "process_stopped", "not_stoppable", "pod_changed", "host_pid",
    "user_namespace", "nested_namespace", "io_uring", "userfaultfd", "device",
    "unsupported_descriptor", "unsupported_memory", "unsupported_socket", "external_socket",
    "tcp_connection", "deleted_file", "file_outside", "file_lock", "file_watch", "terminal",
    "mount", "ipc_outside", "posix_timer", "proc_task_file", "orphaned_session", "too_many_pipes",
    // The new pod.
    "archive_damaged", "unknown_version", "node_differs", "cpu_features", "pid_taken",
    "file_absent", "file_changed", "mount_absent", "address", "security_context", "not_verified",
    "processes_ended", "already_restored", "request_differs",
    // The node.
    "no_space", "resources", "permission", "timeout", "criu_unfit", "criu_failed",
    "runtime_unavailable", "runtime_failed", "process_died", "internal", "other"};

struct CodeErrnos {
  Code code;
  std::initializer_list<int> error_numbers;
};

constexpr CodeErrnos kErrnos[] = {
    {Code::kNotFound, {ENOENT, ESRCH, ENODEV, ENXIO}},
    {Code::kAlreadyExists, {EEXIST}},
    {Code::kPermissionDenied, {EACCES, EPERM}},
    {Code::kResourceExhausted, {ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOBUFS, EMLINK}},
    {Code::kInvalidArgument, {EINVAL, ENAMETOOLONG, E2BIG, EILSEQ}},
    {Code::kOutOfRange, {EFBIG, EOVERFLOW, ERANGE}},
    {Code::kFailedPrecondition,
     {ENOTEMPTY, EBUSY, ENOTDIR, EISDIR, ELOOP, EXDEV, EROFS, ETXTBSY, EPIPE, ECHILD, EBADF}},
    {Code::kDeadlineExceeded, {ETIMEDOUT}},
    {Code::kUnavailable, {EAGAIN, EINTR, ECONNREFUSED, ECONNRESET, ECONNABORTED}},
    {Code::kUnimplemented, {ENOSYS, EOPNOTSUPP}},
    {Code::kAborted, {ESTALE, EDEADLK}},
    {Code::kCancelled, {ECANCELED}},
    {Code::kDataLoss, {EIO, EUCLEAN, EBADMSG}},
};

Code CodeOfErrno(int error_number) {
  for (const auto& [code, error_numbers] : kErrnos) {
    if (std::ranges::find(error_numbers, error_number) != error_numbers.end()) return code;
  }
  return Code::kUnknown;
}

const CodeMeaning& MeaningOf(Code code) {
  return kCodes[static_cast<size_t>(CodeFromNumber(static_cast<int>(code)))];
}

}  // namespace

std::string_view ReasonName(Reason reason) {
  const auto index = static_cast<size_t>(reason);
  return index < kReasonNames.size() ? kReasonNames[index]
                                     : kReasonNames[static_cast<size_t>(Reason::kOther)];
}

Reason ReasonFromName(std::string_view name) {
  const auto* found = std::ranges::find(kReasonNames, name);
  return found == kReasonNames.end() ? Reason::kOther
                                     : static_cast<Reason>(found - kReasonNames.begin());
}

std::string_view CodeName(Code code) { return MeaningOf(code).name; }

Code CodeFromNumber(int number) {
  const bool known = number >= 0 && static_cast<size_t>(number) < kCodes.size();
  return known ? static_cast<Code>(number) : Code::kUnknown;
}

Code CodeFromName(std::string_view name) {
  const auto* found = std::ranges::find(kCodes, name, &CodeMeaning::name);
  return found == kCodes.end() ? Code::kUnknown : static_cast<Code>(found - kCodes.begin());
}

Reason Status::reason() const {
  return reason_ != Reason::kNone ? reason_ : MeaningOf(code_).reason;
}

Status Status::While(std::string_view doing) const {
  if (ok()) return Status();
  return Status(code_, std::string(doing).append(": ").append(message_), reason_);
}

Status ErrnoStatus(int error_number, std::string_view action, std::string_view subject) {
  std::string message(action);
  if (!subject.empty()) message.append(" ").append(subject);
  message += ": ";
  // Unlike strerror this is safe in every thread.
  message += std::generic_category().message(error_number);
  const bool is_full = error_number == ENOSPC || error_number == EDQUOT;
  return Status(CodeOfErrno(error_number), std::move(message),
                is_full ? Reason::kNoSpace : Reason::kNone);
}

}  // namespace cryopod
