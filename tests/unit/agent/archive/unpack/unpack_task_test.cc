#include "agent/archive/unpack/unpack_task.h"

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

std::optional<UnpackTask> Parse(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return ParseArguments(static_cast<int>(argv.size()), argv.data());
}

TEST(UnpackTaskTest, WhatOneSideWritesTheOtherReads) {
  for (const UnpackMode mode : {UnpackMode::kImages, UnpackMode::kLayout, UnpackMode::kLayer,
                                UnpackMode::kEmit, UnpackMode::kRewrite}) {
    const UnpackTask task{mode, {UINT64_MAX, 7}, 9};

    const std::optional<UnpackTask> read = Parse(ToArguments("program", task));

    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->mode, mode);
    EXPECT_EQ(ToArguments("program", *read), ToArguments("program", task));
    EXPECT_EQ(read->limits.entries_max, 7u);
  }
}

TEST(UnpackTaskTest, RefusesAnyOtherArguments) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"program"},
           {"program", "images", "1", "2"},
           {"program", "images", "1", "2", "3", "4"},
           {"program", "fles", "1", "2", "3"},
           {"program", "images", "-1", "2", "3"},
           {"program", "images", "1", "", "3"},
           {"program", "images", "1", "2", "3x"},
           {"program", "images", "18446744073709551616", "2", "3"}}) {
    EXPECT_FALSE(Parse(arguments)) << ::testing::PrintToString(arguments);
  }
}

TEST(UnpackReportTest, CarriesTheReasonAsFarAsItsLimit) {
  EXPECT_THAT(ParseReport(FormatReport(Status(Code::kResourceExhausted, "too many"))),
              StatusIs(Code::kResourceExhausted, "too many"));
  EXPECT_THAT(ParseReport(FormatReport(Status(Code::kDataLoss, "entry x"))),
              StatusIs(Code::kDataLoss, "entry x"));
  EXPECT_EQ(FormatReport(Status(Code::kDataLoss, std::string(9000, 'x'))).size(),
            kUnpackReportBytesMax);
}

TEST(UnpackReportTest, WhateverStandsInItIsAnErrorAndPrintable) {
  EXPECT_THAT(ParseReport(""), StatusIs(Code::kInternal));
  EXPECT_THAT(ParseReport("garbage"), StatusIs(Code::kInternal));
  EXPECT_THAT(ParseReport("0 all is well"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseReport("16 let me in"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseReport("15 \x1b[2J\nnext\xff"), StatusIs(Code::kDataLoss, "?[2J next?"));
}

}  // namespace
}  // namespace cryopod::archive::test
