#include "agent/os/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

namespace cryopod {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SplitLinesTest, TheEndOfTheLastLineMakesNoLine) {
  EXPECT_THAT(SplitLines("a\nb\n"), ElementsAre("a", "b"));
  EXPECT_THAT(SplitLines("a\nb"), ElementsAre("a", "b"));
}

TEST(SplitLinesTest, EmptyLinesBetweenStay) {
  EXPECT_THAT(SplitLines("a\n\nb\n"), ElementsAre("a", "", "b"));
}

TEST(SplitLinesTest, NoTextHasNoLines) {
  EXPECT_THAT(SplitLines(""), IsEmpty());
  EXPECT_THAT(SplitLines("\n"), ElementsAre(""));
}

TEST(SplitWordsTest, AnyRunOfBlanksSeparates) {
  EXPECT_THAT(SplitWords("  a\tb \n c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(SplitWords(" \t\n"), IsEmpty());
  EXPECT_THAT(SplitWords(""), IsEmpty());
}

TEST(SplitTest, EmptyPartsCount) {
  EXPECT_THAT(Split("a,,b,", ','), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(Split("", ','), ElementsAre(""));
}

TEST(ParseNumberTest, TakesADecimalNumberAsAWhole) {
  int number = 0;
  EXPECT_TRUE(ParseNumber("-17", number));
  EXPECT_EQ(number, -17);
  EXPECT_FALSE(ParseNumber("17 ", number));
  EXPECT_FALSE(ParseNumber("+17", number));
  EXPECT_FALSE(ParseNumber("0x11", number));
  EXPECT_FALSE(ParseNumber("", number));
}

TEST(ParseNumberTest, RefusesWhatDoesNotFit) {
  uint32_t number = 0;
  EXPECT_TRUE(ParseNumber("4294967295", number));
  EXPECT_FALSE(ParseNumber("4294967296", number));
  EXPECT_FALSE(ParseNumber("-1", number));
}

}  // namespace
}  // namespace cryopod
