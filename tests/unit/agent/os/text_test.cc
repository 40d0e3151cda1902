#include "agent/os/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

namespace cryopod {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SplitLinesTest, TheEndOfTheLastLineMakesNoLineAndEmptyOnesBetweenStay) {
  EXPECT_THAT(SplitLines("a\n\nb\n"), ElementsAre("a", "", "b"));
  EXPECT_THAT(SplitLines("a\nb"), ElementsAre("a", "b"));
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

TEST(PrintableTest, EndsOfLinesBecomeSpacesAndWhatCommandsATerminalAQuestionMark) {
  EXPECT_EQ(Printable("a\nb\tc\x1b[1m\x7f"), "a b c?[1m?");
  EXPECT_EQ(Printable(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(Printable("x\xc2\x9b"
                      "1m"),
            "x?1m");
}

TEST(PrintableTest, Utf8StaysAndWhatIsNoneBecomesAQuestionMark) {
  const std::string text =
      "gr\xc3\xbc\xc3\x9f"
      "e \xe2\x82\xac";
  EXPECT_EQ(Printable(text), text);
  EXPECT_EQ(Printable("\xc2"), "?");
  EXPECT_EQ(Printable("a\xff/\xc0\xaf"), "a?/??");
}

TEST(PrintableTest, IsCutBetweenCharacters) {
  EXPECT_EQ(Printable("abcdef", 6), "abcdef");
  EXPECT_EQ(Printable("abcdefg", 6), "abc...");
  EXPECT_EQ(Printable("ab\xc3\xbc"
                      "efg",
                      6),
            "ab...");
  EXPECT_EQ(Printable(std::string(2000, 'x')).size(), 1024u);
}

TEST(IsAtOrBelowTest, ANameThatBeginsAlikeIsAnother) {
  EXPECT_TRUE(IsAtOrBelow("/data", "/data"));
  EXPECT_TRUE(IsAtOrBelow("/data/a", "/data"));
  EXPECT_FALSE(IsAtOrBelow("/database", "/data"));
  EXPECT_FALSE(IsAtOrBelow("/", "/data"));
  EXPECT_TRUE(IsAtOrBelow("/data", "/"));
  EXPECT_FALSE(IsAtOrBelow("data", "/"));
}

TEST(JoinTest, WordsStandBetweenCommasAndWhatIsNotNamedIsCounted) {
  EXPECT_EQ(Join({}), "");
  EXPECT_EQ(Join({"app"}), "app");
  EXPECT_EQ(Join({"app", "db"}, "; "), "app; db");
  EXPECT_EQ(JoinFirst({"a", "b", "c"}, 3), "a, b, c");
  EXPECT_EQ(JoinFirst({"a", "b", "c"}, 1), "a and 2 more");
  EXPECT_EQ(JoinFirst({"a", "b", "c"}, 2, "; ", "; and "), "a; b; and 1 more");
}

TEST(MajorMinorTest, TakesTheFirstTwoNumbersOfAVersion) {
  EXPECT_EQ(MajorMinor("6.18.0-12-generic"), std::pair(6, 18));
  EXPECT_EQ(MajorMinor("4"), std::pair(4, 0));
  EXPECT_EQ(MajorMinor("unknown"), std::pair(0, 0));
}

TEST(FormatTimeTest, IsRfc3339InUtcWithSeconds) {
  EXPECT_EQ(FormatTime(std::chrono::nanoseconds(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(FormatTime(std::chrono::nanoseconds(1'700'000'000'999'999'999)),
            "2023-11-14T22:13:20Z");
}

TEST(ParseNumberTest, TakesANumberAsAWholeThatFits) {
  int number = 0;
  EXPECT_TRUE(ParseNumber("-17", number));
  EXPECT_EQ(number, -17);
  EXPECT_FALSE(ParseNumber("17 ", number));
  EXPECT_FALSE(ParseNumber("+17", number));
  EXPECT_FALSE(ParseNumber("0x11", number));
  EXPECT_FALSE(ParseNumber("", number));
  uint32_t bounded = 0;
  EXPECT_TRUE(ParseNumber("4294967295", bounded));
  EXPECT_FALSE(ParseNumber("4294967296", bounded));
  EXPECT_FALSE(ParseNumber("-1", bounded));
}

TEST(ParseNumbersTest, EveryWordIsOne) {
  std::vector<int> numbers;
  EXPECT_TRUE(ParseNumbers(" 1\t2\n", numbers));
  EXPECT_THAT(numbers, ElementsAre(1, 2));
  EXPECT_FALSE(ParseNumbers("3 x", numbers));
}

}  // namespace
}  // namespace cryopod
