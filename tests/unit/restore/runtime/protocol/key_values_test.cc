#include "restore/runtime/protocol/key_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::wrapper {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(KeyValuesTest, ReadsLinesAndIgnoresBlanksAndComments) {
  const Result<KeyValues> values =
      ParseKeyValues("# a comment\n\n  runtime =  /usr/sbin/runc \r\nempty=\nlast=a=b");

  ASSERT_THAT(values, test::IsOk());
  EXPECT_THAT(*values, UnorderedElementsAre(Pair("runtime", "/usr/sbin/runc"), Pair("empty", ""),
                                            Pair("last", "a=b")));
}

struct BadText {
  const char* name;
  const char* text;
  const char* reason;
};

class BadKeyValuesTest : public ::testing::TestWithParam<BadText> {};

TEST_P(BadKeyValuesTest, IsRefusedByTheNumberOfItsLine) {
  const Result<KeyValues> values = ParseKeyValues(GetParam().text);

  EXPECT_THAT(values, test::StatusIs(Code::kInvalidArgument, HasSubstr(GetParam().reason)));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadKeyValuesTest,
    ::testing::Values(BadText{"no_equals", "a=1\nnonsense\n", "line 2"},
                      BadText{"no_key", "=1\n", "line 1"}, BadText{"bad_key", "a b=1\n", "line 1"},
                      BadText{"twice", "a=1\nb=2\na=3\n", "line 3 sets a again"},
                      BadText{"control_character", "a=\x01\n", "line 1"}),
    [](const auto& entry) { return entry.param.name; });

TEST(KeyValuesTest, WhatWasFormattedComesBack) {
  const KeyValues values = {{"cgroup", "/sys/fs/cgroup/a b"}, {"empty", ""}, {"x_1", "a=b#c"}};

  const Result<std::string> text = FormatKeyValues(values);

  ASSERT_THAT(text, test::IsOk());
  EXPECT_THAT(ParseKeyValues(*text), test::IsOkAnd(values));
}

TEST(KeyValuesTest, AValueThatWouldNotComeBackIsRefused) {
  EXPECT_THAT(FormatKeyValues({{"a", "two\nlines"}}), test::StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(FormatKeyValues({{"a", " padded"}}), test::StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(FormatKeyValues({{"bad key", "x"}}), test::StatusIs(Code::kInvalidArgument));
}

}  // namespace
}  // namespace cryopod::wrapper
