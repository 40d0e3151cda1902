#include "agent/ctl/install/toml_statements.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::ctl {
namespace {

using test::IsOk;
using test::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

std::string ValueAt(const std::string& text, const TomlStatement& statement) {
  return text.substr(statement.value_begin, statement.value_end - statement.value_begin);
}

TEST(ScanTomlTest, KeysCarryTheTablesAroundThem) {
  const std::string text =
      "version = 3\n"
      "[plugins.\"io.containerd.cri.v1.runtime\"]\n"
      "  a . 'b c' = 1 # comment\n"
      "[[many]]\n"
      "x = true";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<TomlStatement> statements, ScanToml(text));

  ASSERT_EQ(statements.size(), 3u);
  EXPECT_THAT(statements[0].key, ElementsAre("version"));
  EXPECT_EQ(ValueAt(text, statements[0]), "3");
  EXPECT_THAT(statements[1].key,
              ElementsAre("plugins", "io.containerd.cri.v1.runtime", "a", "b c"));
  EXPECT_EQ(ValueAt(text, statements[1]), "1");
  EXPECT_THAT(statements[2].key, ElementsAre("many", "x"));
  EXPECT_EQ(ValueAt(text, statements[2]), "true");
}

TEST(ScanTomlTest, StringsAndArraysEndWhereTheyEnd) {
  const std::string text =
      "a = \"no # comment \\\" here ]\" # one\n"
      "b = [ \"x\", # ]\n  [1, 2],\n]\n"
      "c = \"\"\"\n[not.a.table]\nd = 1\n\"\"\"\"\n"
      "e = '''it's'''\n";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<TomlStatement> statements, ScanToml(text));

  ASSERT_EQ(statements.size(), 4u);
  EXPECT_EQ(ValueAt(text, statements[0]), "\"no # comment \\\" here ]\"");
  EXPECT_EQ(ValueAt(text, statements[1]), "[ \"x\", # ]\n  [1, 2],\n]");
  EXPECT_EQ(ValueAt(text, statements[2]), "\"\"\"\n[not.a.table]\nd = 1\n\"\"\"\"");
  EXPECT_EQ(ValueAt(text, statements[3]), "'''it's'''");
}

TEST(ScanTomlTest, StatementsOfInlineTablesAreFound) {
  const std::string text = "options = { BinaryName = \"/bin/x\", deep = { y = 1 } }\n";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<TomlStatement> statements, ScanToml(text));

  ASSERT_EQ(statements.size(), 4u);
  EXPECT_THAT(statements[1].key, ElementsAre("options", "BinaryName"));
  EXPECT_EQ(ValueAt(text, statements[1]), "\"/bin/x\"");
  EXPECT_THAT(statements[3].key, ElementsAre("options", "deep", "y"));
}

TEST(ScanTomlTest, WhatCannotBeFollowedIsRefusedWithItsLine) {
  for (const char* text :
       {"ok = 1\nbad", "ok = 1\nbad =", "ok = 1\n[bad", "ok = 1\nbad = \"x", "ok = 1\nbad = 1 2",
        "ok = 1\nbad = 'x\ny'", "ok = 1\n= 2", "ok = 1\nbad = {a = 1 b = 2}"}) {
    EXPECT_THAT(ScanToml(text), StatusIs(Code::kInvalidArgument, HasSubstr("line 2"))) << text;
  }
  EXPECT_THAT(ScanToml("a = [1"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(ScanToml("a = \"\\"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(ScanToml("a = " + std::string(10'000, '[')), StatusIs(Code::kInvalidArgument));
}

TEST(ScanTomlTest, EveryPrefixOfATextIsFollowedOrRefused) {
  const std::string text =
      "a = [\"x\", 'y', {b = \"\"\"z\\\n  w\"\"\"}]\n[t.\"u\".v] # c\n\"k\" = \"\\u00e9\"\r\n";

  for (size_t size = 0; size <= text.size(); ++size) {
    const Result<std::vector<TomlStatement>> statements = ScanToml(text.substr(0, size));
    if (!statements.ok()) {
      EXPECT_EQ(statements.status().code(), Code::kInvalidArgument);
    }
  }
  EXPECT_THAT(ScanToml(text), IsOk());
}

TEST(TomlStringTest, BothFormsAreRead) {
  EXPECT_EQ(TomlString("\"a\\tb\\\"\\\\ \\u00e9\\U0001F600\""),
            "a\tb\"\\ \xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_EQ(TomlString("'C:\\no escape'"), "C:\\no escape");
  EXPECT_EQ(TomlString("\"\"\"\nfirst\\\n   second\"\"\""), "firstsecond");
  EXPECT_EQ(TomlString("'''\nline'''"), "line");
  EXPECT_EQ(TomlString("\"\""), "");
}

TEST(TomlStringTest, OtherValuesAreNone) {
  for (const char* value : {"3", "true", "", "\"", "[\"x\"]", "\"\\q\"", "\"\\u12\""}) {
    EXPECT_EQ(TomlString(value), std::nullopt) << value;
  }
}

TEST(QuoteTomlTest, WhatIsQuotedIsReadBack) {
  for (const std::string text :
       {"/srv/odd place/cryo pod", "quote \" and \\", "tab\tand\x01", ""}) {
    EXPECT_EQ(TomlString(QuoteToml(text)), text);
  }
}

}  // namespace
}  // namespace cryopod::ctl
