#include "agent/json/fields.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/status_matchers.h"

namespace cryopod::json {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Part {
  std::string name;
  int32_t weight = 7;
};

void Describe(Fields& fields, Part& part) {
  fields.Required("name", part.name, Name);
  fields.Optional("weight", part.weight);
}

enum class Colour { kRed, kBlue };
constexpr std::array<std::string_view, 2> kColours = {"red", "blue"};

struct Whole {
  std::string text = "unsaid";
  bool flag = false;
  uint8_t small = 0;
  uint64_t large = 0;
  int64_t negative = 0;
  std::chrono::milliseconds wait{5};
  std::vector<std::string> words;
  std::vector<Part> parts;
  std::map<std::string, std::string> labels;
  Colour colour = Colour::kRed;
};

void Describe(Fields& fields, Whole& whole) {
  fields.Optional("text", whole.text, Text);
  fields.Optional("flag", whole.flag);
  fields.Optional("small", whole.small);
  fields.Optional("large", whole.large);
  fields.Optional("negative", whole.negative);
  fields.Optional("wait", whole.wait);
  fields.OptionalNonEmpty("words", whole.words);
  fields.AtMost("words", whole.words.size(), 2);
  fields.Optional("parts", whole.parts);
  fields.Optional("labels", whole.labels);
  fields.Named("colour", whole.colour, kColours);
}

Result<Whole> ReadWhole(const std::string& text) {
  Whole whole;
  CRYOPOD_RETURN_IF_ERROR(Read(text, "doc", whole));
  return whole;
}

TEST(JsonFieldsTest, WhatWasWrittenIsRead) {
  Whole whole;
  whole.text = "said";
  whole.flag = true;
  whole.small = 255;
  whole.large = UINT64_MAX;
  whole.negative = INT64_MIN;
  whole.wait = std::chrono::milliseconds(12);
  whole.words = {"p", "q"};
  whole.parts = {{"a", -1}, {"b", 2}};
  whole.labels = {{"k", "v"}};
  whole.colour = Colour::kBlue;

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Whole read, ReadWhole(Write(whole)));
  EXPECT_EQ(Write(read), Write(whole));
  EXPECT_EQ(read.large, UINT64_MAX);
  EXPECT_EQ(read.negative, INT64_MIN);
  EXPECT_THAT(read.words, ElementsAre("p", "q"));
  EXPECT_EQ(read.parts.at(0).weight, -1);
  EXPECT_EQ(read.colour, Colour::kBlue);
}

TEST(JsonFieldsTest, WhatIsAbsentKeepsItsDefaultAndWhatIsUnknownIsIgnored) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const Whole read,
      ReadWhole(R"({"colour":"red","parts":[{"name":"a","new":[{}]}],"newer":{"x":1}})"));
  EXPECT_EQ(read.text, "unsaid");
  EXPECT_EQ(read.wait, std::chrono::milliseconds(5));
  EXPECT_EQ(read.parts.at(0).weight, 7);
  EXPECT_THAT(Write(Whole()), ::testing::Not(HasSubstr("words"))) << "left out when empty";
}

TEST(JsonFieldsTest, RefusesByNameWhatIsNotOfItsKind) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"("text":1)", "doc: text: not a string"},
      {R"("text":"a\n")", "doc: text: \"a\\n\" holds control characters"},
      {R"("flag":1)", "doc: flag: neither"},
      {R"("small":256)", "doc: small: not a number from 0 to 255"},
      {R"("small":-1)", "doc: small: not a number"},
      {R"("large":1.5)", "doc: large: not a whole number"},
      {R"("wait":-1)", "doc: wait: not a number"},
      {R"("words":["a",1])", "doc: words[1]: not a string"},
      {R"("words":["a","b","c"])", "doc: words: more than 2"},
      {R"("words":{})", "doc: words: not an array"},
      {R"("parts":[{"name":"a"},{}])", "doc: parts[1]: name: missing"},
      {R"("parts":[{"name":"../a"}])", "is no name"},
      {R"("parts":[{"name":""}])", "empty"},
      {R"("parts":[[]])", "doc: parts[0]: not a JSON object"},
      {R"("labels":{"k":1})", "doc: labels.k: not a string"},
      {R"("labels":{"k\n":1})", "doc: labels.k\\n: not a string"},
  };
  for (const auto& [member, why] : wrong) {
    EXPECT_THAT(ReadWhole(R"({"colour":"red",)" + member + "}"),
                StatusIs(Code::kDataLoss, HasSubstr(why)))
        << member;
  }
}

TEST(JsonFieldsTest, RefusesANameThatIsNoneOfThemAndTheFirstErrorSticks) {
  EXPECT_THAT(ReadWhole(R"({"colour":"green"})"),
              StatusIs(Code::kDataLoss, HasSubstr("\"green\" is none")));
  EXPECT_THAT(ReadWhole("{}"), StatusIs(Code::kDataLoss, HasSubstr("colour: missing")));
  EXPECT_THAT(ReadWhole(R"({"text":1,"flag":2,"colour":3})"),
              StatusIs(Code::kDataLoss, HasSubstr("doc: text")));
}

TEST(JsonFieldsTest, AStringIsNoLongerThanTheLimit) {
  const std::string fits(Limits().string_bytes_max, 'a');
  EXPECT_THAT(ReadWhole(R"({"colour":"red","text":")" + fits + "\"}"), IsOk());
  EXPECT_THAT(ReadWhole(R"({"colour":"red","text":")" + fits + "a\"}"),
              StatusIs(Code::kDataLoss, HasSubstr("longer than")));
}

}  // namespace
}  // namespace cryopod::json
