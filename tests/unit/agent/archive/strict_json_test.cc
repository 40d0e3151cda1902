#include "agent/archive/strict_json.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/status_matchers.h"

namespace cryopod::archive {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

std::string Nested(int levels) {
  return std::string(static_cast<size_t>(levels), '[') +
         std::string(static_cast<size_t>(levels), ']');
}

TEST(ParseStrictJsonTest, TakesThirtyTwoLevelsAndRefusesOneMore) {
  EXPECT_THAT(ParseStrictJson(Nested(32)), IsOk());
  EXPECT_THAT(ParseStrictJson(Nested(33)), StatusIs(Code::kDataLoss, HasSubstr("deeper")));
}

TEST(ParseStrictJsonTest, RefusesABillionLevelsAtOnce) {
  EXPECT_THAT(ParseStrictJson(std::string(4 << 20, '[')), StatusIs(Code::kDataLoss));
}

TEST(ParseStrictJsonTest, RefusesAMemberThatStandsTwice) {
  EXPECT_THAT(ParseStrictJson(R"({"a":{"b":1,"c":2,"b":3}})"),
              StatusIs(Code::kDataLoss, HasSubstr("\"b\" stands twice")));
}

TEST(ParseStrictJsonTest, TakesTheSameNameInDifferentObjects) {
  EXPECT_THAT(ParseStrictJson(R"([{"a":1},{"a":1,"b":{"a":1}}])"), IsOk());
}

TEST(ParseStrictJsonTest, RefusesMoreThanFourMebibytes) {
  EXPECT_THAT(ParseStrictJson("\"" + std::string(kJsonBytesMax, 'a') + "\""),
              StatusIs(Code::kDataLoss, HasSubstr("larger")));
}

TEST(ParseStrictJsonTest, RefusesMoreValuesThanTheLimit) {
  std::string many = "[0";
  for (size_t i = 0; i < kJsonNodesMax; ++i) many += ",0";

  EXPECT_THAT(ParseStrictJson(many + "]"), StatusIs(Code::kDataLoss, HasSubstr("more than")));
}

TEST(ParseStrictJsonTest, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "{}x", "{}{}", "nul", "{'a':1}", "[1,]", "{\"a\":1,}",
                           "\"\xff\"", "01", "1e999", "\"\\ud800\"", "// c\n{}", "NaN", "\"\n\""}) {
    EXPECT_THAT(ParseStrictJson(text), StatusIs(Code::kDataLoss)) << text;
  }
}

class JsonFieldsTest : public ::testing::Test {
 protected:
  JsonFields Fields(const char* text) {
    Result<JsonValue> value = ParseStrictJson(text);
    EXPECT_TRUE(value.ok()) << value.status().message();
    if (value.ok()) value_ = std::move(*value);
    return JsonFields(value_, "doc");
  }
  JsonValue value_;
};

TEST_F(JsonFieldsTest, ReadsMembersByTheirTypes) {
  JsonFields fields = Fields(R"({"s":"x","n":18446744073709551615,"b":true,"l":["p","q"],"o":{}})");
  std::string text;
  uint64_t number = 0;
  bool flag = false;
  std::vector<std::string> texts;

  fields.String("s", &text);
  fields.Unsigned("n", &number);
  fields.OptionalBool("b", &flag);
  fields.OptionalStrings("l", &texts, 2);
  const JsonValue* object = fields.Object("o");

  EXPECT_THAT(fields.status(), IsOk());
  EXPECT_EQ(text, "x");
  EXPECT_EQ(number, UINT64_MAX);
  EXPECT_TRUE(flag);
  EXPECT_EQ(texts, (std::vector<std::string>{"p", "q"}));
  EXPECT_NE(object, nullptr);
}

TEST_F(JsonFieldsTest, AbsentOptionalMembersKeepTheirValues) {
  JsonFields fields = Fields("{}");
  std::string text = "kept";
  uint64_t number = 5;

  fields.OptionalString("s", &text);
  fields.OptionalUnsigned("n", &number);

  EXPECT_THAT(fields.status(), IsOk());
  EXPECT_EQ(text, "kept");
  EXPECT_EQ(number, 5u);
}

TEST_F(JsonFieldsTest, TheFirstErrorStaysAndNamesTheMember) {
  JsonFields fields = Fields(R"({"n":-1})");
  std::string text;
  uint64_t number = 0;

  fields.Unsigned("n", &number);
  fields.String("s", &text);

  EXPECT_THAT(fields.status(), StatusIs(Code::kDataLoss, HasSubstr("doc: n: ")));
}

TEST_F(JsonFieldsTest, RefusesOtherTypes) {
  const char* text = R"({"s":1,"n":"1","f":1.0,"b":0,"l":[1],"o":[],"a":{}})";
  std::string string;
  uint64_t number = 0;
  bool flag = false;
  std::vector<std::string> texts;
  const std::vector<std::function<void(JsonFields&)>> reads = {
      [&](JsonFields& f) { f.String("s", &string); },
      [&](JsonFields& f) { f.Unsigned("n", &number); },
      [&](JsonFields& f) { f.Unsigned("f", &number); },
      [&](JsonFields& f) { f.OptionalBool("b", &flag); },
      [&](JsonFields& f) { f.OptionalStrings("l", &texts, 9); },
      [&](JsonFields& f) { f.Object("o"); },
      [&](JsonFields& f) { f.Array("a", 9); },
      [&](JsonFields& f) { f.String("absent", &string); },
  };
  for (size_t i = 0; i < reads.size(); ++i) {
    JsonFields fields = Fields(text);

    reads[i](fields);

    EXPECT_THAT(fields.status(), StatusIs(Code::kDataLoss)) << "read " << i;
  }
}

TEST_F(JsonFieldsTest, RefusesAStringThatIsTooLong) {
  JsonFields fields = Fields(R"({"s":"12345"})");
  std::string string = "kept";

  fields.String("s", &string, 4);

  EXPECT_THAT(fields.status(), StatusIs(Code::kDataLoss, HasSubstr("longer than 4")));
  EXPECT_EQ(string, "kept");
}

TEST_F(JsonFieldsTest, RefusesAListThatIsTooLong) {
  JsonFields fields = Fields(R"({"s":[1,2,3]})");

  EXPECT_EQ(fields.Array("s", 2), nullptr);

  EXPECT_THAT(fields.status(), StatusIs(Code::kDataLoss, HasSubstr("more than 2")));
}

TEST_F(JsonFieldsTest, AnythingButAnObjectIsRefused) {
  EXPECT_THAT(Fields("[]").status(), StatusIs(Code::kDataLoss, HasSubstr("not a JSON object")));
}

}  // namespace
}  // namespace cryopod::archive
