#include "agent/os/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::StatusIs;

TEST(StatusTest, CodesHaveTheNumbersAndNamesOfGrpcAndAllOthersAreUnknown) {
  EXPECT_EQ(CodeName(Code::kOk), "OK");
  EXPECT_EQ(CodeName(CodeFromNumber(4)), "DEADLINE_EXCEEDED");
  EXPECT_EQ(CodeName(CodeFromNumber(9)), "FAILED_PRECONDITION");
  EXPECT_EQ(CodeFromName("DATA_LOSS"), Code::kDataLoss);
  EXPECT_EQ(CodeFromNumber(16), Code::kUnauthenticated);
  EXPECT_EQ(CodeFromName("UNAUTHENTICATED"), Code::kUnauthenticated);
  EXPECT_EQ(CodeFromNumber(-1), Code::kUnknown);
  EXPECT_EQ(CodeFromNumber(17), Code::kUnknown);
  EXPECT_EQ(CodeFromName("LOST"), Code::kUnknown);
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

TEST(StatusTest, SuccessStaysSuccess) {
  EXPECT_THAT(Status().While("freezing"), IsOk());
  EXPECT_EQ(Status().While("freezing").message(), "");
}

TEST(ErrnoStatusTest, NamesActionSubjectAndReason) {
  EXPECT_THAT(ErrnoStatus(ENOSPC, "openat", "pages-1.img"),
              StatusIs(Code::kResourceExhausted, "openat pages-1.img: No space left on device"));
  EXPECT_EQ(ErrnoStatus(EPERM, "fork", "").message(), "fork: Operation not permitted");
}

TEST(ErrnoStatusTest, TheCodeIsWhatTheErrnoMeans) {
  const std::pair<Code, std::vector<int>> cases[] = {
      {Code::kNotFound, {ENOENT, ESRCH, ENODEV}},
      {Code::kAlreadyExists, {EEXIST}},
      {Code::kPermissionDenied, {EACCES, EPERM}},
      {Code::kResourceExhausted, {EMFILE, ENOMEM}},
      {Code::kInvalidArgument, {EINVAL}},
      {Code::kOutOfRange, {ERANGE}},
      {Code::kFailedPrecondition, {EBUSY, ELOOP}},
      {Code::kDeadlineExceeded, {ETIMEDOUT}},
      {Code::kUnavailable, {ECONNREFUSED, EAGAIN}},
      {Code::kUnimplemented, {ENOSYS, EOPNOTSUPP}},
      {Code::kDataLoss, {EIO}},
      {Code::kAborted, {ESTALE}},
      {Code::kCancelled, {ECANCELED}},
      {Code::kUnknown, {ENOTTY}},
  };
  for (const auto& [code, error_numbers] : cases) {
    for (const int error : error_numbers) {
      EXPECT_EQ(ErrnoStatus(error, "act", "it").code(), code) << error;
    }
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

TEST(ResultTest, TheMacroStopsAtTheFirstError) {
  EXPECT_THAT(QuarterOf(8), test::IsOkAnd(2));
  EXPECT_THAT(QuarterOf(7), StatusIs(Code::kInvalidArgument, "odd"));
  EXPECT_THAT(QuarterOf(6), StatusIs(Code::kInvalidArgument, "halving again: odd"));
}

TEST(ResultTest, WhileKeepsAValueThatCanOnlyMove) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));

  result = std::move(result).While("carrying");

  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, 7);
}

TEST(ReasonTest, EveryReasonHasANameOfItsOwnAndIsFoundByIt) {
  std::set<std::string_view> names;

  for (int i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    const std::string_view name = ReasonName(reason);
    EXPECT_FALSE(name.empty()) << i;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos) << i;
    EXPECT_TRUE(names.insert(name).second) << name << " stands for two";
    EXPECT_EQ(ReasonFromName(name), reason) << name;
  }
}

TEST(ReasonTest, TheNamesThatAlertsUseStayWhatTheyAre) {
  EXPECT_EQ(ReasonName(Reason::kNoSpace), "no_space");
  EXPECT_EQ(ReasonName(Reason::kContentNotCarried), "content_not_carried");
  EXPECT_EQ(ReasonName(Reason::kCriuFailed), "criu_failed");
  EXPECT_EQ(ReasonName(Reason::kArchiveDamaged), "archive_damaged");
  EXPECT_EQ(ReasonName(Reason::kProcessDied), "process_died");
}

TEST(ReasonTest, AWordOrNumberThatIsNoneOfOursIsOther) {
  EXPECT_EQ(ReasonFromName("shop/web"), Reason::kOther);
  EXPECT_EQ(ReasonFromName(""), Reason::kOther);
  EXPECT_EQ(ReasonName(static_cast<Reason>(kReasonCount)), "other");
  EXPECT_EQ(ReasonName(static_cast<Reason>(-1)), "other");
}

TEST(ReasonTest, AStatusWithoutOneHasTheReasonOfItsCode) {
  EXPECT_EQ(Status().reason(), Reason::kNone);
  EXPECT_EQ(Status(Code::kDataLoss, "x").reason(), Reason::kArchiveDamaged);
  EXPECT_EQ(Status(Code::kAborted, "x").reason(), Reason::kBusy);
  EXPECT_EQ(Status(Code::kUnknown, "x").reason(), Reason::kOther);
  EXPECT_EQ(Status(static_cast<Code>(99), "x").reason(), Reason::kOther);
}

TEST(ReasonTest, AReasonOutlivesTheWayUp) {
  const Status status(Code::kFailedPrecondition, "it uses io_uring", Reason::kIoUring);

  const Status above = status.While("container app").While("pod shop/web");

  EXPECT_EQ(above.reason(), Reason::kIoUring);
  EXPECT_EQ(Result<int>(above).While("again").status().reason(), Reason::kIoUring);
}

TEST(ReasonTest, AFullDiskIsNamedWhereverItIsMet) {
  EXPECT_EQ(ErrnoStatus(ENOSPC, "write", "f").reason(), Reason::kNoSpace);
  EXPECT_EQ(ErrnoStatus(EDQUOT, "write", "f").reason(), Reason::kNoSpace);
  EXPECT_EQ(ErrnoStatus(EMFILE, "open", "f").reason(), Reason::kResources);
}

}  // namespace
}  // namespace cryopod
