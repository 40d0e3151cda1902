#include "agent/os/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::StatusIs;
using ::testing::HasSubstr;

TEST(StatusTest, DefaultConstructedItIsSuccess) {
  const Status status;

  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), Code::kOk);
  EXPECT_EQ(status.message(), "");
}

TEST(StatusTest, CodesHaveTheNumbersOfGrpc) {
  EXPECT_EQ(static_cast<int>(Code::kDeadlineExceeded), 4);
  EXPECT_EQ(static_cast<int>(Code::kFailedPrecondition), 9);
  EXPECT_EQ(static_cast<int>(Code::kDataLoss), 15);
  EXPECT_EQ(static_cast<int>(Code::kUnauthenticated), 16);
}

TEST(StatusTest, EveryNumberOfTheTableHasItsName) {
  EXPECT_EQ(CodeName(Code::kOk), "OK");
  EXPECT_EQ(CodeName(Code::kDeadlineExceeded), "DEADLINE_EXCEEDED");
  EXPECT_EQ(CodeName(Code::kFailedPrecondition), "FAILED_PRECONDITION");
  EXPECT_EQ(CodeName(Code::kUnauthenticated), "UNAUTHENTICATED");
}

TEST(StatusTest, ANumberOutsideTheTableIsUnknown) {
  EXPECT_EQ(CodeFromNumber(-1), Code::kUnknown);
  EXPECT_EQ(CodeFromNumber(17), Code::kUnknown);
  EXPECT_EQ(CodeFromNumber(16), Code::kUnauthenticated);
  EXPECT_EQ(CodeName(static_cast<Code>(99)), "UNKNOWN");
}

TEST(StatusTest, EachFloorPutsItsWordsInFront) {
  const Status status = Status(Code::kNotFound, "openat index.json: No such file or directory")
                            .While("reading archive web")
                            .While("restoring pod a/b");

  EXPECT_THAT(status, StatusIs(Code::kNotFound,
                               "restoring pod a/b: reading archive web: openat index.json: No such "
                               "file or directory"));
}

TEST(StatusTest, WhileLeavesALvalueAsItWas) {
  const Status status(Code::kAborted, "gone");

  const Status with_context = status.While("freezing");

  EXPECT_EQ(status.message(), "gone");
  EXPECT_EQ(with_context.message(), "freezing: gone");
}

TEST(StatusTest, SuccessStaysSuccess) {
  const Status status;

  EXPECT_EQ(status.While("freezing").message(), "");
  EXPECT_THAT(Status().While("freezing"), IsOk());
}

TEST(ErrnoStatusTest, NamesActionSubjectAndReason) {
  const Status status = ErrnoStatus(ENOSPC, "openat", "pages-1.img");

  EXPECT_THAT(status,
              StatusIs(Code::kResourceExhausted, "openat pages-1.img: No space left on device"));
}

TEST(ErrnoStatusTest, WithoutASubjectThereIsNoSecondBlank) {
  EXPECT_EQ(ErrnoStatus(EPERM, "fork", "").message(), "fork: Operation not permitted");
}

TEST(ErrnoStatusTest, TheCodeIsWhatTheErrnoMeans) {
  const struct {
    int error_number;
    Code code;
  } cases[] = {
      {ENOENT, Code::kNotFound},
      {ESRCH, Code::kNotFound},
      {ENODEV, Code::kNotFound},
      {EEXIST, Code::kAlreadyExists},
      {EACCES, Code::kPermissionDenied},
      {EPERM, Code::kPermissionDenied},
      {EMFILE, Code::kResourceExhausted},
      {ENOMEM, Code::kResourceExhausted},
      {EINVAL, Code::kInvalidArgument},
      {ERANGE, Code::kOutOfRange},
      {EBUSY, Code::kFailedPrecondition},
      {ELOOP, Code::kFailedPrecondition},
      {ETIMEDOUT, Code::kDeadlineExceeded},
      {ECONNREFUSED, Code::kUnavailable},
      {EAGAIN, Code::kUnavailable},
      {ENOSYS, Code::kUnimplemented},
      {EOPNOTSUPP, Code::kUnimplemented},
      {EIO, Code::kDataLoss},
      {ESTALE, Code::kAborted},
      {ECANCELED, Code::kCancelled},
      {ENOTTY, Code::kUnknown},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(ErrnoStatus(one.error_number, "act", "it").code(), one.code) << one.error_number;
  }
}

Result<int> HalfOf(int number) {
  if (number % 2 != 0) return Status(Code::kInvalidArgument, "odd");
  return number / 2;
}

Result<int> QuarterOf(int number) {
  CRYOPOD_ASSIGN_OR_RETURN(const int half, HalfOf(number));
  CRYOPOD_ASSIGN_OR_RETURN(const int quarter, HalfOf(half).While("halving again"));
  return quarter;
}

Status CheckEven(int number) {
  CRYOPOD_RETURN_IF_ERROR(HalfOf(number).status());
  return Status();
}

TEST(ResultTest, HoldsAValueOrAReason) {
  const Result<int> value = HalfOf(4);
  const Result<int> error = HalfOf(3);

  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, 2);
  EXPECT_THAT(value.status(), IsOk());
  EXPECT_THAT(error, StatusIs(Code::kInvalidArgument, "odd"));
}

TEST(ResultTest, TheMacroStopsAtTheFirstError) {
  EXPECT_EQ(*QuarterOf(8), 2);
  EXPECT_THAT(QuarterOf(7), StatusIs(Code::kInvalidArgument, "odd"));
  EXPECT_THAT(QuarterOf(6), StatusIs(Code::kInvalidArgument, "halving again: odd"));
}

TEST(ResultTest, TheMacroPassesAnErrorOn) {
  EXPECT_THAT(CheckEven(2), IsOk());
  EXPECT_THAT(CheckEven(1), StatusIs(Code::kInvalidArgument, HasSubstr("odd")));
}

TEST(ResultTest, WhileKeepsAValueThatCanOnlyMove) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));

  result = std::move(result).While("carrying");

  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, 7);
}

}  // namespace
}  // namespace cryopod
