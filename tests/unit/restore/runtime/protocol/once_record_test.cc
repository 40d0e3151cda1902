#include "restore/runtime/protocol/once_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class OnceRecordTest : public ::testing::Test {
 protected:
  static OnceRecord Pod(const std::string& uid, const std::string& operation = "") {
    return {"web-1", uid, "shop", "web-" + uid, "web-1", operation, "r-" + uid, ""};
  }
  std::string state_dir() const { return temp_.path().string(); }
  std::filesystem::path Record() const { return temp_.path() / "once" / std::string(64, 'a'); }
  Status Check(const OnceRecord& asks) const { return CheckOnce(state_dir(), kDigest, asks); }
  Status Claim(const OnceRecord& claims) const { return ClaimOnce(state_dir(), kDigest, claims); }

  const std::string kDigest = "sha256:" + std::string(64, 'a');
  test::TempDirectory temp_;
};

TEST_F(OnceRecordTest, WhatNobodyHasClaimedMayBeRestoredByAnybody) {
  EXPECT_THAT(Check(Pod("u-1")), test::IsOk());
  EXPECT_THAT(Check(Pod("u-2")), test::IsOk());
}

TEST_F(OnceRecordTest, AnotherPodHearsWhoWasRestoredWhenAndTheRemedyAsOftenAsItAsks) {
  ASSERT_THAT(Claim(Pod("u-1")), test::IsOk());

  for (int i = 0; i < 2; ++i) {
    const Status refused = Check(Pod("u-2"));
    EXPECT_THAT(refused,
                test::StatusIs(Code::kFailedPrecondition,
                               AllOf(HasSubstr("AlreadyRestored"), HasSubstr("shop/web-u-1"),
                                     HasSubstr("UID u-1"), HasSubstr("(operation r-u-1)"),
                                     HasSubstr("remove " + Record().string()))));
    EXPECT_THAT(refused.message(), ::testing::ContainsRegex("at 20..-..-..T..:..:..Z"));
    EXPECT_EQ(refused.reason(), Reason::kAlreadyRestored);
  }
  EXPECT_EQ(Claim(Pod("u-2")).reason(), Reason::kAlreadyRestored);
}

TEST_F(OnceRecordTest, TheSameRestoreMayGoOn) {
  ASSERT_THAT(Claim(Pod("u-1")), test::IsOk());

  EXPECT_THAT(Check(Pod("u-1")), test::IsOk());
  EXPECT_THAT(Claim(Pod("u-1")), test::IsOk());
}

TEST_F(OnceRecordTest, AnotherDeliberateRestoreOfAPodWithTheSameUidIsAnother) {
  ASSERT_THAT(Claim(Pod("u-1", "op-1")), test::IsOk());

  EXPECT_EQ(Check(Pod("u-1", "op-2")).reason(), Reason::kAlreadyRestored);
}

TEST_F(OnceRecordTest, AnotherArchiveIsNotMeant) {
  ASSERT_THAT(Claim(Pod("u-1")), test::IsOk());

  EXPECT_THAT(CheckOnce(state_dir(), "sha256:" + std::string(64, 'b'), Pod("u-2")), test::IsOk());
}

TEST_F(OnceRecordTest, WithItsRecordRemovedItMayBeRestoredAgain) {
  ASSERT_THAT(Claim(Pod("u-1")), test::IsOk());

  std::filesystem::remove(Record());

  EXPECT_THAT(Claim(Pod("u-2")), test::IsOk());
}

TEST_F(OnceRecordTest, OfManyThatClaimItAtOnceOneDoes) {
  std::vector<Status> claims(8);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < claims.size(); ++i) {
      threads.emplace_back([&, i] { claims[i] = Claim(Pod("u-" + std::to_string(i))); });
    }
  }

  EXPECT_EQ(std::ranges::count_if(claims, &Status::ok), 1);
  size_t files = 0;
  for (const auto& file : std::filesystem::directory_iterator(Record().parent_path())) {
    EXPECT_EQ(file.path(), Record());
    ++files;
  }
  EXPECT_EQ(files, 1u) << "nothing else is left";
}

TEST_F(OnceRecordTest, NobodyElseCanReadIt) {
  ASSERT_THAT(Claim(Pod("u-1")), test::IsOk());

  struct stat file {};
  ASSERT_EQ(::stat(Record().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777u, 0600u);
}

TEST_F(OnceRecordTest, ADamagedRecordRefusesEverybodyAndIsNamed) {
  std::filesystem::create_directories(Record().parent_path());
  test::WriteText(Record(), "rubbish");

  const Status refused = Check(Pod("u-1"));

  EXPECT_THAT(refused, test::StatusIs(Code::kDataLoss, HasSubstr(Record().string())));
  EXPECT_EQ(refused.reason(), Reason::kInternal) << "the archive is not damaged";
}

TEST_F(OnceRecordTest, ADigestThatIsNoFileNameIsRefused) {
  for (const char* digest : {"", "sha256:", "sha256:../x", "a/b"}) {
    EXPECT_THAT(CheckOnce(state_dir(), digest, Pod("u-1")), test::StatusIs(Code::kInvalidArgument));
    EXPECT_THAT(ClaimOnce(state_dir(), digest, Pod("u-1")), test::StatusIs(Code::kInvalidArgument));
  }
}

}  // namespace
}  // namespace cryopod::wrapper
