#include "agent/json/value.h"

#include <gtest/gtest.h>

#include <functional>

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

TEST(JsonParseTest, TakesThirtyTwoLevelsAndRefusesOneMore) {
  EXPECT_THAT(Parse(Nested(32)), IsOk());
  EXPECT_THAT(Parse(Nested(33)), StatusIs(Code::kDataLoss, HasSubstr("deeper")));
}

TEST(JsonParseTest, RefusesABillionLevelsAtOnce) {
  EXPECT_THAT(Parse(std::string(4 << 20, '[')), StatusIs(Code::kDataLoss));
}

TEST(JsonParseTest, RefusesAMemberThatStandsTwice) {
  EXPECT_THAT(Parse(R"({"a":{"b":1,"c":2,"b":3}})"),
              StatusIs(Code::kDataLoss, HasSubstr("\"b\" stands twice")));
}

TEST(JsonParseTest, TakesTheSameNameInDifferentObjects) {
  EXPECT_THAT(Parse(R"([{"a":1},{"a":1,"b":{"a":1}}])"), IsOk());
}

TEST(JsonParseTest, RefusesMoreThanFourMebibytes) {
  EXPECT_THAT(Parse("\"" + std::string(Limits().bytes_max, 'a') + "\""),
              StatusIs(Code::kDataLoss, HasSubstr("larger")));
}

TEST(JsonParseTest, RefusesMoreValuesThanTheLimit) {
  std::string many = "[0";
  for (size_t i = 0; i < Limits().nodes_max; ++i) many += ",0";

  EXPECT_THAT(Parse(many + "]"), StatusIs(Code::kDataLoss, HasSubstr("more than")));
}

TEST(JsonParseTest, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "{}x", "{}{}", "nul", "{'a':1}", "[1,]", "{\"a\":1,}",
                           "\"\xff\"", "01", "1e999", "\"\\ud800\"", "// c\n{}", "NaN", "\"\n\""}) {
    EXPECT_THAT(Parse(text), StatusIs(Code::kDataLoss)) << text;
  }
}

TEST(JsonFormatTest, WhatWasWrittenIsReadAndSortedByName) {
  const Result<Value> value = Parse(R"({"b":[1,-2,true,null,"x"],"a":{"c":0.5}})");
  ASSERT_THAT(value, IsOk());

  EXPECT_EQ(Format(*value), R"({"a":{"c":0.5},"b":[1,-2,true,null,"x"]})");
}

TEST(JsonFormatTest, BytesThatAreNoTextAreReplaced) {
  const Result<Value> read = Parse(Format(Value{std::string("a\xff z")}));

  ASSERT_THAT(read, IsOk());
  EXPECT_THAT(*read->string(), ::testing::EndsWith(" z"));
}

}  // namespace
}  // namespace cryopod::json
