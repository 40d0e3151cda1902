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
