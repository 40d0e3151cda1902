#pragma once

#include <gmock/gmock.h>

#include <string>
#include <utility>

#include "agent/os/status.h"

namespace cryopod {

// GoogleTest prints these when an expectation about them fails.
inline void PrintTo(Code code, std::ostream* out) { *out << CodeName(code); }
inline void PrintTo(const Status& status, std::ostream* out) {
  *out << CodeName(status.code()) << " \"" << status.message() << '"';
}
template <typename T>
void PrintTo(const Result<T>& result, std::ostream* out) {
  if (result.ok()) {
    *out << "a value";
  } else {
    PrintTo(result.status(), out);
  }
}

}  // namespace cryopod

namespace cryopod::test {

inline const Status& StatusOf(const Status& status) { return status; }
template <typename T>
Status StatusOf(const Result<T>& result) {
  return result.status();
}

// For Status and Result alike: EXPECT_THAT(OpenDirectory("/"), IsOk()).
MATCHER(IsOk, negation ? "is an error" : "is OK") {
  const Status status = StatusOf(arg);
  *result_listener << "which is " << CodeName(status.code()) << ": " << status.message();
  return status.ok();
}

// The code, and a matcher of the message: StatusIs(Code::kNotFound, HasSubstr("index.json")).
MATCHER_P2(StatusIs, code, message_matcher, "is " + std::string(CodeName(code))) {
  const Status status = StatusOf(arg);
  *result_listener << "which is " << CodeName(status.code()) << ": " << status.message();
  return status.code() == code &&
         ::testing::ExplainMatchResult(message_matcher, status.message(), result_listener);
}
inline auto StatusIs(Code code) { return StatusIs(code, ::testing::_); }

// A Result that holds a value which the inner matcher accepts.
MATCHER_P(IsOkAnd, value_matcher, "holds a value that fits") {
  if (!arg.ok()) {
    *result_listener << "which is " << CodeName(arg.status().code()) << ": "
                     << arg.status().message();
    return false;
  }
  return ::testing::ExplainMatchResult(value_matcher, *arg, result_listener);
}

}  // namespace cryopod::test

// Leaves the test when there is no value.
#define CRYOPOD_ASSERT_OK_AND_ASSIGN(declaration, expression) \
  CRYOPOD_ASSERT_OK_AND_ASSIGN_(CRYOPOD_CONCAT_(result_, __LINE__), declaration, expression)
#define CRYOPOD_ASSERT_OK_AND_ASSIGN_(result, declaration, expression)            \
  auto result = (expression);                                                     \
  ASSERT_TRUE(result.ok()) << ::cryopod::CodeName(result.status().code()) << ": " \
                           << result.status().message();                          \
  declaration = std::move(result).value()
