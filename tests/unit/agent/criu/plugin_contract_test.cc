#include "agent/criu/plugin/plugin_contract.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"

namespace cryopod::criu {
namespace {

TEST(ParseLocksTest, WhatIsWrittenIsReadAgainAndNothingElse) {
  const std::vector<RecordLock> locks = {{7, 3, true, 128, 1}, {8, 4, false, 0, 0}};
  EXPECT_THAT(ParseLocks(FormatLocks(locks)), test::IsOkAnd(locks));
  EXPECT_THAT(ParseLocks(""), test::IsOkAnd(std::vector<RecordLock>()));
  for (const char* text : {"7 3 write 128\n", "7 3 lock 128 1\n", "7 3 write -1 1\n", "x\n"}) {
    EXPECT_THAT(ParseLocks(text), test::StatusIs(Code::kDataLoss)) << text;
  }
}

}  // namespace
}  // namespace cryopod::criu
