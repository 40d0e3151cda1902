#include "agent/jobs/job_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "tests/support/status_matchers.h"

namespace cryopod::jobs {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;

TEST(NewOperationIdTest, TellsTheKindAndDoesNotRepeat) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(NewOperationId(JobKind::kCheckpoint));

  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_TRUE(std::regex_match(*ids.begin(), std::regex("c-[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")))
      << *ids.begin();
  EXPECT_THAT(NewOperationId(JobKind::kRestore), ::testing::StartsWith("r-"));
  EXPECT_THAT(NewOperationId(JobKind::kPod), ::testing::StartsWith("p-"));
  EXPECT_THAT(CheckOperationId(*ids.begin()), IsOk());
}

TEST(CheckOperationIdTest, TakesWhatMayBeAFileNameAndNothingElse) {
  for (const char* id : {"a", "migrate-42", "Z9", "0-"}) {
    EXPECT_THAT(CheckOperationId(id), IsOk()) << id;
  }
  for (const std::string& id :
       {std::string(), std::string("-a"), std::string("a/b"), std::string(".."), std::string("a b"),
        std::string("a\n"), std::string("a\0b", 3), std::string(65, 'a')}) {
    EXPECT_THAT(CheckOperationId(id), StatusIs(Code::kInvalidArgument)) << id;
  }
  EXPECT_THAT(CheckOperationId(std::string(64, 'a')), IsOk());
}

}  // namespace
}  // namespace cryopod::jobs
