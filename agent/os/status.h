#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "agent/os/reason.h"

namespace cryopod {

// Source  gRPC canonical status codes: same names, same numbers.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "kFailedPrecondition" → "FAILED_PRECONDITION"; a number outside the table → "UNKNOWN".
std::string_view CodeName(Code code);
// Numbers and names outside the table become kUnknown.
Code CodeFromNumber(int number);
Code CodeFromName(std::string_view name);

// An error as a value. Default-constructed it is success.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message, Reason reason = Reason::kNone)
      : code_(code), reason_(reason), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // What was said when the status was made, else what its code stands for; kNone of a success.
  Reason reason() const;

  // Puts what the caller was doing in front of the message: "dumping container app: openat …".
  // Success stays success, and the reason what it was.
  Status While(std::string_view doing) const;

 private:
  Code code_ = Code::kOk;
  Reason reason_ = Reason::kNone;
  std::string message_;
};

// "openat pages-1.img: No space left on device" with the code that the errno means. `error_number`
// comes first so that nothing evaluated for the other arguments can change it.
Status ErrnoStatus(int error_number, std::string_view action, std::string_view subject);

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : state_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  // Success when there is a value.
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }

  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T* operator->() { return &std::get<T>(state_); }
  const T* operator->() const { return &std::get<T>(state_); }
  T& operator*() & { return std::get<T>(state_); }
  const T& operator*() const& { return std::get<T>(state_); }

  Result While(std::string_view doing) && {
    if (ok()) return std::move(*this);
    return std::get<Status>(std::move(state_)).While(doing);
  }

 private:
  std::variant<T, Status> state_;
};

}  // namespace cryopod

#define CRYOPOD_CONCAT_INNER_(a, b) a##b
#define CRYOPOD_CONCAT_(a, b) CRYOPOD_CONCAT_INNER_(a, b)

#define CRYOPOD_RETURN_IF_ERROR(expression)                                                        \
  do {                                                                                             \
    if (::cryopod::Status status_or_ok_ = (expression); !status_or_ok_.ok()) return status_or_ok_; \
  } while (false)

#define CRYOPOD_ASSIGN_OR_RETURN(declaration, expression) \
  CRYOPOD_ASSIGN_OR_RETURN_(CRYOPOD_CONCAT_(result_, __LINE__), declaration, expression)

#define CRYOPOD_ASSIGN_OR_RETURN_(result, declaration, expression) \
  auto result = (expression);                                      \
  if (!result.ok()) return result.status();                        \
  declaration = std::move(result).value()
