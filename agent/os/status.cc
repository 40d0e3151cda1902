#include "agent/os/status.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace cryopod {
namespace {

constexpr std::array<std::string_view, 17> kCodeNames = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

struct ErrnoCode {
  int error_number;
  Code code;
};

constexpr std::array<ErrnoCode, 46> kErrnoCodes = {{
    {ENOENT, Code::kNotFound},
    {ESRCH, Code::kNotFound},
    {ENODEV, Code::kNotFound},
    {ENXIO, Code::kNotFound},
    {EEXIST, Code::kAlreadyExists},
    {EACCES, Code::kPermissionDenied},
    {EPERM, Code::kPermissionDenied},
    {ENOSPC, Code::kResourceExhausted},
    {EDQUOT, Code::kResourceExhausted},
    {EMFILE, Code::kResourceExhausted},
    {ENFILE, Code::kResourceExhausted},
    {ENOMEM, Code::kResourceExhausted},
    {ENOBUFS, Code::kResourceExhausted},
    {EMLINK, Code::kResourceExhausted},
    {EINVAL, Code::kInvalidArgument},
    {ENAMETOOLONG, Code::kInvalidArgument},
    {E2BIG, Code::kInvalidArgument},
    {EILSEQ, Code::kInvalidArgument},
    {EFBIG, Code::kOutOfRange},
    {EOVERFLOW, Code::kOutOfRange},
    {ERANGE, Code::kOutOfRange},
    {ENOTEMPTY, Code::kFailedPrecondition},
    {EBUSY, Code::kFailedPrecondition},
    {ENOTDIR, Code::kFailedPrecondition},
    {EISDIR, Code::kFailedPrecondition},
    {ELOOP, Code::kFailedPrecondition},
    {EXDEV, Code::kFailedPrecondition},
    {EROFS, Code::kFailedPrecondition},
    {ETXTBSY, Code::kFailedPrecondition},
    {EPIPE, Code::kFailedPrecondition},
    {ECHILD, Code::kFailedPrecondition},
    {EBADF, Code::kFailedPrecondition},
    {ETIMEDOUT, Code::kDeadlineExceeded},
    {EAGAIN, Code::kUnavailable},
    {EINTR, Code::kUnavailable},
    {ECONNREFUSED, Code::kUnavailable},
    {ECONNRESET, Code::kUnavailable},
    {ECONNABORTED, Code::kUnavailable},
    {ENOSYS, Code::kUnimplemented},
    {EOPNOTSUPP, Code::kUnimplemented},
    {ESTALE, Code::kAborted},
    {EDEADLK, Code::kAborted},
    {ECANCELED, Code::kCancelled},
    {EIO, Code::kDataLoss},
    {EUCLEAN, Code::kDataLoss},
    {EBADMSG, Code::kDataLoss},
}};

// By code number. A failure that nobody has named more closely.
constexpr std::array<Reason, 17> kReasonsOfCodes = {
    Reason::kNone,           Reason::kCancelled,  Reason::kOther,
    Reason::kInvalidRequest, Reason::kTimeout,    Reason::kNotFound,
    Reason::kArchiveExists,  Reason::kPermission, Reason::kResources,
    Reason::kRefused,        Reason::kBusy,       Reason::kOther,
    Reason::kUnknownVersion, Reason::kInternal,   Reason::kRuntimeUnavailable,
    Reason::kArchiveDamaged, Reason::kOther,
};

Code CodeOfErrno(int error_number) {
  for (const ErrnoCode& one : kErrnoCodes) {
    if (one.error_number == error_number) return one.code;
  }
  return Code::kUnknown;
}

std::string Prefixed(std::string_view doing, const std::string& message) {
  std::string text(doing);
  text += ": ";
  text += message;
  return text;
}

}  // namespace

std::string_view CodeName(Code code) {
  return kCodeNames[static_cast<size_t>(CodeFromNumber(static_cast<int>(code)))];
}

Code CodeFromNumber(int number) {
  if (number < 0 || static_cast<size_t>(number) >= kCodeNames.size()) return Code::kUnknown;
  return static_cast<Code>(number);
}

Code CodeFromName(std::string_view name) {
  const auto found = std::find(kCodeNames.begin(), kCodeNames.end(), name);
  return found == kCodeNames.end() ? Code::kUnknown : static_cast<Code>(found - kCodeNames.begin());
}

Reason Status::reason() const {
  if (reason_ != Reason::kNone) return reason_;
  return kReasonsOfCodes[static_cast<size_t>(CodeFromNumber(static_cast<int>(code_)))];
}

Status Status::While(std::string_view doing) const& {
  if (ok()) return Status();
  return Status(code_, Prefixed(doing, message_), reason_);
}

Status Status::While(std::string_view doing) && {
  if (ok()) return Status();
  return Status(code_, Prefixed(doing, message_), reason_);
}

Status ErrnoStatus(int error_number, std::string_view action, std::string_view subject) {
  std::string message(action);
  if (!subject.empty()) {
    message += ' ';
    message += subject;
  }
  message += ": ";
  // Unlike strerror this is safe in every thread.
  message += std::generic_category().message(error_number);
  const bool is_full = error_number == ENOSPC || error_number == EDQUOT;
  return Status(CodeOfErrno(error_number), std::move(message),
                is_full ? Reason::kNoSpace : Reason::kNone);
}

}  // namespace cryopod
