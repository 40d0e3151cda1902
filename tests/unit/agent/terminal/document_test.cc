#include "agent/terminal/document.h"

#include <gtest/gtest.h>

namespace cryopod::terminal {
namespace {

TEST(FormatDocumentTest, JsonStaysAsItIs) {
  EXPECT_EQ(FormatDocument(Form::kJson, "{\"a\":1}\n"), "{\"a\":1}\n");
}

TEST(FormatDocumentTest, YamlKeepsTheOrderAndIndentsWhatIsInside) {
  EXPECT_EQ(FormatDocument(Form::kYaml, R"({"b": [{"name": "app", "ids": [1, [2, 3]]}, "x"],
                                            "a": {"empty": {}, "none": [], "deep": {"k": -1}}})"),
            "b:\n"
            "  - name: app\n"
            "    ids:\n"
            "      - 1\n"
            "      - - 2\n"
            "        - 3\n"
            "  - x\n"
            "a:\n"
            "  empty: {}\n"
            "  none: []\n"
            "  deep:\n"
            "    k: -1\n");
}

TEST(FormatDocumentTest, WhatYamlWouldReadAsSomethingElseIsQuoted) {
  const std::pair<std::string, std::string> cases[] = {
      {R"("web-1")", "web-1"},
      {R"("sha256:feed")", "sha256:feed"},
      {R"("/run/a.sock")", "/run/a.sock"},
      {R"("shop/web")", "shop/web"},
      {R"("")", R"("")"},
      {R"("true")", R"("true")"},
      {R"("No")", R"("No")"},
      {R"("Null")", R"("Null")"},
      {R"("~")", R"("~")"},
      {R"("7")", R"("7")"},
      {R"("1e3")", R"("1e3")"},
      {R"(".inf")", R"(".inf")"},
      {R"("0.1.0")", R"("0.1.0")"},
      {R"("2026-11-24T22:00:00Z")", R"("2026-11-24T22:00:00Z")"},
      {R"("a: b")", R"("a: b")"},
      {R"("a:")", R"("a:")"},
      {R"("a #b")", R"("a #b")"},
      {R"("- a")", R"("- a")"},
      {R"("{a}")", R"("{a}")"},
      {R"("&a")", R"("&a")"},
      {R"("say \"a\\b\"")", R"("say \"a\\b\"")"},
      {R"("a\nb\t\u001b\u007f\u2028")", R"("a\u000ab\u0009\u001b\u007f\u2028")"},
      {"\"\xc3\xbc\xf0\x9f\x98\x80\"", "\"\xc3\xbc\xf0\x9f\x98\x80\""},
      {"7", "7"},
      {"true", "true"},
      {"null", "null"},
      {"0.5", "0.5"},
  };
  for (const auto& [json, yaml] : cases) {
    EXPECT_EQ(FormatDocument(Form::kYaml, json), yaml + "\n") << json;
    EXPECT_EQ(FormatDocument(Form::kYaml, "{\"k\": " + json + "}"), "k: " + yaml + "\n");
    EXPECT_EQ(FormatDocument(Form::kYaml, "[" + json + "]"), "- " + yaml + "\n");
  }
  EXPECT_EQ(FormatDocument(Form::kYaml, R"({"7": 1, "on": 2})"), "\"7\": 1\n\"on\": 2\n");
}

TEST(FormatDocumentTest, WhatIsDeeperThanAnyAnswerStaysJsonWhichIsYamlToo) {
  const std::string deep = std::string(1000, '[') + std::string(1000, ']');

  EXPECT_EQ(FormatDocument(Form::kYaml, deep), deep);
}

}  // namespace
}  // namespace cryopod::terminal
