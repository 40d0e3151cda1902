#include "restore/compare_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::restore {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class CompareRequestTest : public ::testing::Test {
 protected:
  CompareRequestTest() {
    recorded_.name = "app";
    recorded_.image = "registry/app:1";
    recorded_.image_ref = "registry/app@sha256:aa";
    recorded_.image_id = "sha256:bb";
    recorded_.program = {"/app --new", "sha256:c0", "/srv", {{"A", "sha256:1"}, {"B", "sha256:2"}}};
    request_.image = "registry/app:1";
    request_.image_ref = recorded_.image_ref;
    request_.image_id = recorded_.image_id;
    live_ = recorded_.program;
  }
  Result<std::vector<std::string>> Compare() const {
    return CompareRequest(recorded_, request_, live_);
  }
  // What stands against it. The annotation with this name, and nothing else, allows it.
  std::string Refusal(const std::string& name) {
    const Status refused = Compare().status();
    EXPECT_THAT(refused, test::StatusIs(Code::kFailedPrecondition,
                                        HasSubstr("cryopod.dev/differences: " + name)));
    EXPECT_EQ(refused.reason(), Reason::kRequestDiffers);
    for (const char* known : {"image", "command", "working-directory"}) {
      request_.differences = known;
      EXPECT_EQ(Compare().ok(), name == known) << known;
    }
    request_.differences = name;
    EXPECT_THAT(Compare(), test::IsOkAnd(ElementsAre(HasSubstr(name)))) << "it is told";
    return refused.message();
  }

  archive::ContainerCheckpoint recorded_;
  wrapper::Request request_;
  archive::ProgramRecord live_;
};

TEST_F(CompareRequestTest, WhatWasCheckpointedMayBeRequestedAgain) {
  EXPECT_THAT(Compare(), test::IsOkAnd(ElementsAre()));
}

TEST_F(CompareRequestTest, AnotherImageIsRefusedWithBothSides) {
  request_.image = "registry/app:2";
  request_.image_ref = "registry/app@sha256:ff";
  request_.image_id = "sha256:ee";

  EXPECT_THAT(Refusal("image"), AllOf(HasSubstr("registry/app:2 (registry/app@sha256:ff)"),
                                      HasSubstr("registry/app:1 (registry/app@sha256:aa)")));
}

TEST_F(CompareRequestTest, TheSameContentUnderAnotherNameIsTheSameImage) {
  request_.image = "mirror/app:latest";
  request_.image_ref = "mirror/app@sha256:aa";
  request_.image_id = "";
  EXPECT_THAT(Compare(), test::IsOkAnd(ElementsAre()));

  // One that was loaded from a file has no digest of a registry.
  request_.image_ref = "sha256:bb";
  EXPECT_THAT(Compare(), test::IsOkAnd(ElementsAre()));
}

TEST_F(CompareRequestTest, AnImageThatNobodyKnowsIsNotTheSame) {
  request_.image_ref = request_.image_id = "";

  EXPECT_EQ(Compare().status().reason(), Reason::kRequestDiffers);
}

TEST_F(CompareRequestTest, AnotherCommandIsRefusedWithBothSides) {
  live_.command = "/app --old";
  live_.command_digest = "sha256:c1";

  EXPECT_THAT(Refusal("command"), AllOf(HasSubstr("\"/app --old\""), HasSubstr("\"/app --new\"")));
}

TEST_F(CompareRequestTest, AnotherWorkingDirectoryIsRefusedWithBothSides) {
  live_.working_directory = "/tmp";

  EXPECT_THAT(Refusal("working-directory"), AllOf(HasSubstr("\"/tmp\""), HasSubstr("\"/srv\"")));
}

TEST_F(CompareRequestTest, EveryDifferenceIsNamedAtOnceWithWhatAllowsAll) {
  live_.command_digest = "sha256:c1";
  live_.working_directory = "/tmp";
  request_.image_ref = request_.image_id = "sha256:ff";

  EXPECT_THAT(Compare().status().message(), HasSubstr(": image,command,working-directory"));
}

TEST_F(CompareRequestTest, AnotherEnvironmentIsToldByNamesOnly) {
  live_.environment = {{"B", "sha256:3"}, {"C", "sha256:4"}};

  EXPECT_THAT(Compare(),
              test::IsOkAnd(ElementsAre(AllOf(HasSubstr("A, B, C"), Not(HasSubstr("sha256"))))));
}

TEST_F(CompareRequestTest, WhatAnOldArchiveDidNotRecordDiffersInNothing) {
  recorded_.program = {};
  recorded_.image_id = recorded_.image_ref = "";
  live_ = {"/other", "sha256:c1", "/tmp", {{"C", "sha256:4"}}};

  EXPECT_THAT(Compare(), test::IsOkAnd(ElementsAre()));
}

TEST_F(CompareRequestTest, AnUnknownDifferenceIsNotTakenForAnother) {
  request_.differences = "imgae";

  EXPECT_THAT(Compare(), test::StatusIs(Code::kInvalidArgument, HasSubstr("imgae")));
}

}  // namespace
}  // namespace cryopod::restore
