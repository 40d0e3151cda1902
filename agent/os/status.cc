#include "agent/os/status.h"

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

Code CodeOfErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EACCES:
    case EPERM:
      return Code::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EMLINK:
      return Code::kResourceExhausted;
    case EINVAL:
    case ENAMETOOLONG:
    case E2BIG:
    case EILSEQ:
      return Code::kInvalidArgument;
    case EFBIG:
    case EOVERFLOW:
    case ERANGE:
      return Code::kOutOfRange;
    case ENOTEMPTY:
    case EBUSY:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EXDEV:
    case EROFS:
    case ETXTBSY:
    case EPIPE:
    case ECHILD:
    case EBADF:
      return Code::kFailedPrecondition;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    case EAGAIN:
    case EINTR:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
      return Code::kUnavailable;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnimplemented;
    case ESTALE:
    case EDEADLK:
      return Code::kAborted;
    case ECANCELED:
      return Code::kCancelled;
    case EIO:
    case EUCLEAN:
    case EBADMSG:
      return Code::kDataLoss;
    default:
      return Code::kUnknown;
  }
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

Status Status::While(std::string_view doing) const& {
  if (ok()) return Status();
  return Status(code_, Prefixed(doing, message_));
}

Status Status::While(std::string_view doing) && {
  if (ok()) return Status();
  return Status(code_, Prefixed(doing, message_));
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
  return Status(CodeOfErrno(error_number), std::move(message));
}

}  // namespace cryopod
