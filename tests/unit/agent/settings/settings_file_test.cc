#include "agent/settings/settings_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::settings {
namespace {

using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Result<std::vector<Entry>> Parse(std::string_view text) { return ParseSettings(text, "x.toml"); }

// The value of the only key in a section with one line.
std::string ValueOf(const std::string& written) {
  const Result<std::vector<Entry>> entries = Parse("[s]\nkey = " + written + "\n");
  return entries.ok() && entries->size() == 1 ? entries->front().value : "refused";
}

TEST(ParseSettingsTest, KeysHaveTheirSectionAndTheirLine) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<Entry> entries,
                               Parse("# about\n\n[agent]  # ours\nrun_dir = \"/r\"\n\n"
                                     "[gateway]\r\nport=8443\r\n"));

  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].section, "agent");
  EXPECT_EQ(entries[0].key, "run_dir");
  EXPECT_EQ(entries[0].value, "/r");
  EXPECT_TRUE(entries[0].quoted);
  EXPECT_EQ(entries[0].line, 4u);
  EXPECT_EQ(entries[1].section, "gateway");
  EXPECT_EQ(entries[1].value, "8443");
  EXPECT_FALSE(entries[1].quoted);
  EXPECT_EQ(entries[1].line, 7u);
  EXPECT_TRUE(Parse("\n# nothing\n")->empty());
}

TEST(ParseSettingsTest, AHashInQuotesIsNoCommentAndEscapesHoldInDoubleQuotesOnly) {
  EXPECT_EQ(ValueOf("\"/a#b\"  # a comment"), "/a#b");
  EXPECT_EQ(ValueOf("'/a#b'"), "/a#b");
  EXPECT_EQ(ValueOf("12 # twelve"), "12");
  EXPECT_EQ(ValueOf(R"("a\"b\\c\td")"), "a\"b\\c\td");
  EXPECT_EQ(ValueOf(R"('a\tb')"), "a\\tb");
}

TEST(ParseSettingsTest, WhatIsPrintedIsReadBack) {
  for (const std::string text : {"", "/usr/sbin/criu", "a \"quoted\" #\\ word", "two\nlines"}) {
    EXPECT_EQ(ValueOf(Quote(text)), text);
  }
}

TEST(ParseSettingsTest, ALineThatIsNeitherIsRefusedWithFileAndLine) {
  const char* const lines[] = {
      "run_dir",        "run dir = \"/r\"", "= \"/r\"",      "[agent",          "[]",
      "[a b]",          "[agent] x = 1",    "key =",         "key = # nothing", "key = /no/quotes",
      "key = \"no end", "key = 'no end",    "key = \"a\" b", "key = \"\\q\"",   "key = [1, 2]",
      "key = 1.5",      "key = 2026-01-01", "key = {a = 1}", "a.b = 1",         "key = \"end\\"};
  for (const std::string line : lines) {
    EXPECT_THAT(Parse("[first]\n" + line + "\n"),
                StatusIs(Code::kInvalidArgument, StartsWith("x.toml:2: ")))
        << line;
  }
}

TEST(ParseSettingsTest, AControlCharacterInAStringIsRefused) {
  EXPECT_EQ(ValueOf(std::string("\"a\x01") + "b\""), "refused");
  EXPECT_EQ(ValueOf(std::string("\"a\0b\"", 5)), "refused");
}

TEST(ParseSettingsTest, WhatIsGivenTwiceOrOutsideAnySectionIsRefused) {
  for (const char* twice : {"[a]\nk = 1\nk = 2\n", "[a]\n[b]\n[a]\n"}) {
    EXPECT_THAT(Parse(twice), StatusIs(Code::kInvalidArgument,
                                       AllOf(HasSubstr("x.toml:3"), HasSubstr("redefine"))));
  }
  EXPECT_TRUE(Parse("[a]\nk = 1\n[b]\nk = 2\n").ok());
  EXPECT_THAT(Parse("run_dir = \"/r\"\n"),
              StatusIs(Code::kInvalidArgument, AllOf(HasSubstr("x.toml:1"), HasSubstr("run_dir"))));
}

}  // namespace
}  // namespace cryopod::settings
