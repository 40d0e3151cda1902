#include "agent/criu/images/fill_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::ElementsAreArray;

std::string Line(uint64_t address, uint64_t bytes, uint64_t offset) {
  return FormatFills({{1, 2, address, bytes, offset}});
}

TEST(FillListTest, WhatIsWrittenIsRead) {
  const std::vector<Fill> fills = {{1, 1, 0x7f0000000000, 1 << 20, 0},
                                   {300, 7, 0x10000, 65536, 8192}};

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<Fill> read, ParseFills(FormatFills(fills)));
  EXPECT_THAT(read, ElementsAreArray(fills));
  EXPECT_THAT(ParseFills(""), IsOk());
}

TEST(FillListTest, WhatIsNoLineIsRefused) {
  for (const char* text :
       {"\n", "1", "1 1 4096 4096 0", "1 1 4096 4096\n", "1 1 4096 4096 0 0\n",
        " 1 1 4096 4096 0\n", "1  1 4096 4096 0\n", "-1 1 4096 4096 0\n", "1 -1 4096 4096 0\n",
        "1 1 0x1000 4096 0\n", "1 1 4096 4096 99999999999999999999\n", "1 1 4096 4096 0\r\n",
        "99999999 1 4096 4096 0\n", "1 4294967296 4096 4096 0\n", "0 1 4096 4096 0\n"}) {
    EXPECT_THAT(ParseFills(text), StatusIs(Code::kDataLoss)) << text;
  }
}

TEST(FillListTest, RunsAreOfWholePagesWithinAProcess) {
  const uint64_t page = PageBytes();
  EXPECT_THAT(ParseFills(Line(kUserAddressMax - page, page, 0)), IsOk());

  const uint64_t overflowing = ~uint64_t{0} - (page - 1);
  for (const std::string& line :
       {Line(page + 1, page, 0), Line(page, page - 1, 0), Line(page, 0, 0), Line(page, page, 1),
        Line(kUserAddressMax, page, 0), Line(page, overflowing, 0),
        Line(page, page, overflowing)}) {
    EXPECT_THAT(ParseFills(line), StatusIs(Code::kDataLoss)) << line;
  }
}

TEST(FillListTest, TheNumberOfRunsIsBounded) {
  std::string text;
  for (size_t i = 0; i <= kFillsMax; ++i) text += "1 1 4096 4096 0\n";

  EXPECT_THAT(ParseFills(text), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseFills(std::string_view(text).substr(16)), IsOk());
}

}  // namespace
}  // namespace cryopod::criu
