#include "agent/settings/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod::settings {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ChecksTest, APathIsAbsoluteAndNotTooLong) {
  const Check check = AbsolutePath(4);

  EXPECT_THAT(check("/abc"), IsEmpty());
  EXPECT_THAT(check("/abcd"), HasSubstr("4 bytes"));
  EXPECT_THAT(check("abc"), HasSubstr("absolute"));
  EXPECT_THAT(check(""), HasSubstr("absolute"));
}

TEST(ChecksTest, APathThatMayBeLeftOutIsAbsoluteOtherwise) {
  EXPECT_THAT(PathOrEmpty()(""), IsEmpty());
  EXPECT_THAT(PathOrEmpty()("/a"), IsEmpty());
  EXPECT_THAT(PathOrEmpty()("a"), HasSubstr("absolute"));
}

TEST(ChecksTest, ANameIsNotEmpty) {
  EXPECT_THAT(NotEmpty()("criu"), IsEmpty());
  EXPECT_THAT(NotEmpty()(""), HasSubstr("empty"));
}

TEST(ChecksTest, AWordIsOneOfThoseThatAreKnown) {
  const Check check = OneOf({"debug", "info"});

  EXPECT_THAT(check("info"), IsEmpty());
  EXPECT_THAT(check("loud"), HasSubstr("debug, info"));
  EXPECT_THAT(check(""), HasSubstr("debug, info"));
}

TEST(ChecksTest, ANumberLiesBetweenItsEnds) {
  const Check check = Between(1, 10);

  EXPECT_THAT(check("1"), IsEmpty());
  EXPECT_THAT(check("10"), IsEmpty());
  for (const char* text : {"0", "11", "-1", "", "soon", "1s", " 1", "99999999999999999999"}) {
    EXPECT_THAT(check(text), HasSubstr("1 to 10")) << text;
  }
}

TEST(ChecksTest, PairsOfNamespacesAreNamesWithAColonBetween) {
  const Check check = NamespacePairs();

  for (const char* text : {"", "team-a:team-b", "a:b, c:d", "a:b c:d", " a:b ", "0:a-0"}) {
    EXPECT_THAT(check(text), IsEmpty()) << text;
  }
  for (const char* text : {"a", "a:", ":b", "a:b:c", "A:b", "a->b", "-a:b", "a:b-", "*:b"}) {
    EXPECT_THAT(check(text), HasSubstr("FROM:TO")) << text;
  }
  EXPECT_THAT(SplitPairs("a:b,, c:d"), ::testing::ElementsAre("a:b", "c:d"));
}

}  // namespace
}  // namespace cryopod::settings
