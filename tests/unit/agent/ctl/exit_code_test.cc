#include "agent/ctl/exit_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cryopod::ctl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(ExitCodeTest, SuccessIsZeroEveryErrorIsNotAndTheTableExplainsEveryCode) {
  EXPECT_EQ(ExitCodeFor(Code::kOk), ExitCode::kOk);
  for (int number = 1; number <= 16; ++number) {
    EXPECT_NE(ExitCodeFor(CodeFromNumber(number)), ExitCode::kOk) << number;
  }
  for (int number = 0; number <= 12; ++number) {
    const std::string padded = (number < 10 ? "   " : "  ") + std::to_string(number) + "  ";
    EXPECT_THAT(ExitCodeTable(), HasSubstr("\n" + padded));
  }
}

TEST(ExitCodeTest, ErrorsThatSomebodyCanMendHaveARemedy) {
  for (const Code code : {Code::kNotFound, Code::kAlreadyExists, Code::kDataLoss,
                          Code::kUnavailable, Code::kResourceExhausted, Code::kAborted,
                          Code::kDeadlineExceeded, Code::kPermissionDenied}) {
    EXPECT_NE(Remedy(Status(code, "why")), "") << CodeName(code);
  }
  EXPECT_EQ(Remedy(Status(Code::kInternal, "why")), "");
}

TEST(ExitCodeTest, WhoWaitsForAnOperationIsToldOnlyWhereOneRuns) {
  const std::string busy = Remedy(Status(Code::kAborted, "why", Reason::kBusy));

  EXPECT_THAT(busy, HasSubstr("cryopodctl list"));
  EXPECT_EQ(Remedy(Status(Code::kAborted, "why")), busy) << "of an agent that tells no reason";
  for (const Reason reason : {Reason::kPodChanged, Reason::kExecSession}) {
    const std::string remedy = Remedy(Status(Code::kAborted, "why", reason));
    EXPECT_THAT(remedy, AllOf(HasSubstr("probe"), Not(HasSubstr("cryopodctl list"))));
  }
}

}  // namespace
}  // namespace cryopod::ctl
