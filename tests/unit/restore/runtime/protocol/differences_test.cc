#include "restore/runtime/protocol/differences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::wrapper {
namespace {

using ::testing::HasSubstr;
using Differences = std::set<Difference>;

TEST(DifferencesTest, NamesStandBetweenCommasInAnyOrder) {
  EXPECT_THAT(ParseDifferences(""), test::IsOkAnd(Differences()));
  EXPECT_THAT(ParseDifferences(" "), test::IsOkAnd(Differences()));
  EXPECT_THAT(ParseDifferences("working-directory, image"),
              test::IsOkAnd(Differences{Difference::kImage, Difference::kWorkingDirectory}));
  EXPECT_THAT(ParseDifferences("command"), test::IsOkAnd(Differences{Difference::kCommand}));
}

TEST(DifferencesTest, AnUnknownNameIsRefusedWithThoseThatThereAre) {
  for (const char* text : {"images", "image,", ",", "image command", "image,setgid", "Image"}) {
    EXPECT_THAT(
        ParseDifferences(text),
        test::StatusIs(Code::kInvalidArgument, HasSubstr("image, command, working-directory")))
        << text;
  }
}

}  // namespace
}  // namespace cryopod::wrapper
