#include "agent/settings/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod::settings {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ChecksTest, WhatIsNoValueIsToldWhatItMustBe) {
  const struct {
    Check check;
    std::vector<std::string> values;
    std::vector<std::string> others;
    std::string must_be;
  } checks[] = {
      {AbsolutePath(4), {"/abc"}, {"abc", ""}, "absolute"},
      {AbsolutePath(4), {}, {"/abcd"}, "4 bytes"},
      {PathOrEmpty(), {"", "/a"}, {"a"}, "absolute"},
      {NotEmpty(), {"criu"}, {""}, "empty"},
      {OneOf({"debug", "info"}), {"info"}, {"loud", ""}, "debug, info"},
      {Between(1, 10),
       {"1", "10"},
       {"0", "11", "-1", "", "soon", "1s", " 1", "99999999999999999999"},
       "1 to 10"},
  };
  for (const auto& [check, values, others, must_be] : checks) {
    for (const std::string& value : values) EXPECT_THAT(check(value), IsEmpty()) << value;
    for (const std::string& other : others) EXPECT_THAT(check(other), HasSubstr(must_be)) << other;
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
