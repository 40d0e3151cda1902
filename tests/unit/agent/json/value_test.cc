#include "agent/json/value.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::json {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

std::string Nested(int levels) {
  return std::string(static_cast<size_t>(levels), '[') +
         std::string(static_cast<size_t>(levels), ']');
}

TEST(JsonParseTest, RefusesWhatIsAboveItsLimits) {
  std::string many = "[0";
  for (size_t i = 0; i < Limits().nodes_max; ++i) many += ",0";

  EXPECT_THAT(Parse(Nested(32)), IsOk());
  EXPECT_THAT(Parse(Nested(33)), StatusIs(Code::kDataLoss, HasSubstr("deeper")));
  EXPECT_THAT(Parse(std::string(4 << 20, '[')), StatusIs(Code::kDataLoss));
  EXPECT_THAT(Parse("\"" + std::string(Limits().bytes_max, 'a') + "\""),
              StatusIs(Code::kDataLoss, HasSubstr("larger")));
  EXPECT_THAT(Parse(many + "]"), StatusIs(Code::kDataLoss, HasSubstr("more than")));
}

TEST(JsonParseTest, RefusesAMemberThatStandsTwiceInOneObject) {
  EXPECT_THAT(Parse(R"({"a":{"b":1,"c":2,"b":3}})"),
              StatusIs(Code::kDataLoss, HasSubstr("\"b\" stands twice")));
  EXPECT_THAT(Parse(R"([{"a":1},{"a":1,"b":{"a":1}}])"), IsOk());
}

TEST(JsonParseTest, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "{}x", "{}{}", "nul", "{'a':1}", "[1,]", "{\"a\":1,}",
                           "\"\xff\"", "01", "1e999", "\"\\ud800\"", "// c\n{}", "NaN", "\"\n\""}) {
    EXPECT_THAT(Parse(text), StatusIs(Code::kDataLoss)) << text;
  }
}

TEST(JsonValueTest, WhatIsAbsentOrOfAnotherTypeReadsAsEmpty) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const Value value,
      Parse(R"({"text":"x","number":7,"flag":true,"texts":["a",1,"b"],"null":null})"));

  EXPECT_EQ(value.At("text").Text(), "x");
  EXPECT_EQ(value.At("number").Number(), 7u);
  EXPECT_TRUE(value.At("flag").IsTrue());
  EXPECT_THAT(value.At("texts").Texts(), ::testing::ElementsAre("a", "b"));
  EXPECT_EQ(value.Members().size(), 5u);
  for (const char* other : {"null", "absent"}) {
    EXPECT_EQ(value.At(other).Text(), "");
    EXPECT_EQ(value.At(other).Number(), 0u);
    EXPECT_FALSE(value.At(other).IsTrue());
    EXPECT_TRUE(value.At(other).Elements().empty());
    EXPECT_TRUE(value.At(other).At("deeper").Members().empty());
  }
  EXPECT_EQ(value.At("number").Text(), "");
  EXPECT_EQ(value.At("text").Number(), 0u);
}

TEST(JsonValueTest, AMemberIsMadeOrWrittenAnew) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Value value, Parse(R"({"a":{"b":1,"c":2}})"));

  value.Make("a").Make("b").value = std::string("x");
  value.Make("d").Make("e").value = true;

  EXPECT_EQ(Format(value), R"({"a":{"b":"x","c":2},"d":{"e":true}})");
}

TEST(JsonFormatTest, WhatWasWrittenIsReadAndSortedByName) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Value value,
                               Parse(R"({"b":[1,-2,true,null,"x"],"a":{"c":0.5}})"));

  EXPECT_EQ(Format(value), R"({"a":{"c":0.5},"b":[1,-2,true,null,"x"]})");
}

TEST(JsonFormatTest, BytesThatAreNoTextAreReplaced) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Value read, Parse(Format(Value{std::string("a\xff z")})));
  EXPECT_THAT(*read.string(), ::testing::EndsWith(" z"));
}

}  // namespace
}  // namespace cryopod::json
