#include "agent/terminal/text.h"

#include <gtest/gtest.h>

namespace cryopod::terminal {
namespace {

TEST(FormatTest, SizesAreMebibytesAndDurationsMilliseconds) {
  EXPECT_EQ(FormatMib(0), "0.0 MiB");
  EXPECT_EQ(FormatMib(1'572'864), "1.5 MiB");
  EXPECT_EQ(FormatMib(uint64_t{1} << 40), "1048576.0 MiB");
  EXPECT_EQ(FormatMs(0), "0.0 ms");
  EXPECT_EQ(FormatMs(38'249), "38.2 ms");
}

TEST(FormatTest, WordsAreJoinedWithCommas) {
  EXPECT_EQ(Join({}), "");
  EXPECT_EQ(Join({"app"}), "app");
  EXPECT_EQ(Join({"app", "db"}), "app, db");
}

TEST(OneLineTest, ControlCharactersBecomeSpacesAndTheRestStays) {
  EXPECT_EQ(OneLine("a\nb\tc\x1b[1m\x7f"), "a b c [1m ");
  EXPECT_EQ(OneLine("gr\xc3\xbc\xc3\x9f"
                    "e \xe2\x82\xac"),
            "gr\xc3\xbc\xc3\x9f"
            "e \xe2\x82\xac");
  EXPECT_EQ(OneLine("x\xc2\x9b"
                    "1m"),
            "x  1m");
  EXPECT_EQ(OneLine("\xc2"), "\xc2");
  EXPECT_EQ(OneLine(std::string_view("a\0b", 3)), "a b");
}

TEST(FormatTableTest, AlignsColumnsLeftAndRight) {
  EXPECT_EQ(FormatTable({{"NAME", "SIZE"}, {"a", "1"}, {"longer", "1000"}}, {1}),
            "NAME    SIZE\n"
            "a          1\n"
            "longer  1000\n");
}

TEST(FormatTableTest, CountsCharactersAndNotBytes) {
  EXPECT_EQ(FormatTable({{"\xc3\xbc", "b"}, {"xy", "c"}}), "\xc3\xbc   b\nxy  c\n");
}

TEST(FormatTableTest, TakesRowsOfDifferentLengthAndLeavesNoTrailingSpace) {
  EXPECT_EQ(FormatTable({{"a", "bb", ""}, {"ccc"}}), "a    bb\nccc\n");
  EXPECT_EQ(FormatTable({}), "");
}

}  // namespace
}  // namespace cryopod::terminal
