#include "restore/runtime/protocol/consumed_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {
namespace {

using ::testing::HasSubstr;

class ConsumedRecordTest : public ::testing::Test {
 protected:
  std::string state_dir() const { return temp_.path().string(); }

  static Request RequestOf(const std::string& container) {
    Request request;
    request.pod_uid = "u-1";
    request.container_name = container;
    request.restore_from = "web-1";
    return request;
  }

  Status Write(const std::string& container, const std::string& restore_from = "web-1",
               const std::string& restore_operation = "") {
    return WriteConsumed(state_dir(), "u-1", container,
                         {restore_from, restore_operation, "op-1", ""});
  }

  test::TempDirectory temp_;
};

TEST_F(ConsumedRecordTest, NothingIsConsumedInAnEmptyState) {
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("app")), test::IsOkAnd(false));
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("")), test::IsOkAnd(false));
}

TEST_F(ConsumedRecordTest, ARecordConsumesItsContainerTheSandboxAndNoOther) {
  ASSERT_THAT(Write("app"), test::IsOk());

  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("app")), test::IsOkAnd(true));
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("")), test::IsOkAnd(true));
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("sidecar")), test::IsOkAnd(false));
}

TEST_F(ConsumedRecordTest, ARecordOfAnotherArchiveOrDeliberateRestoreDoesNotCount) {
  ASSERT_THAT(Write("app", "web-0"), test::IsOk());
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("app")), test::IsOkAnd(false));
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("")), test::IsOkAnd(false));

  ASSERT_THAT(Write("app", "web-1", "op-1"), test::IsOk());
  Request second = RequestOf("app");
  second.restore_operation = "op-2";
  EXPECT_THAT(IsConsumed(state_dir(), second), test::IsOkAnd(false));
}

TEST_F(ConsumedRecordTest, KeepsWhatWasWrittenAndTheTime) {
  ASSERT_THAT(Write("app", "web-1", "op-1"), test::IsOk());

  const Result<ConsumedRecord> record = ReadConsumed(state_dir(), "u-1", "app");

  ASSERT_THAT(record, test::IsOk());
  EXPECT_EQ(record->restore_from, "web-1");
  EXPECT_EQ(record->restore_operation, "op-1");
  EXPECT_EQ(record->operation_id, "op-1");
  EXPECT_THAT(record->time, ::testing::MatchesRegex("20..-..-..T..:..:..Z"));
}

TEST_F(ConsumedRecordTest, AColdStartIsOfTheWholePodAndKeepsItsReason) {
  Request request = RequestOf("app");
  request.failure = "AlreadyRestored: by another pod";
  request.failure_reason = "already_restored";

  ASSERT_THAT(WriteColdStart(state_dir(), request), test::IsOk());
  EXPECT_THAT(WriteColdStart(state_dir(), RequestOf("sidecar")), test::IsOk()) << "again";

  for (const char* container : {"app", "sidecar", "injected", ""}) {
    EXPECT_THAT(IsConsumed(state_dir(), RequestOf(container)), test::IsOkAnd(true)) << container;
  }
  EXPECT_THAT(test::ReadText(temp_.path() / "consumed/u-1/.cold"),
              HasSubstr("remark=already_restored: AlreadyRestored: by another pod\n"));
  Request other = RequestOf("app");
  other.restore_from = "web-2";
  EXPECT_THAT(IsConsumed(state_dir(), other), test::IsOkAnd(false)) << "another restore";
}

TEST_F(ConsumedRecordTest, HalfAPodDoesNotStartCold) {
  ASSERT_THAT(Write("app"), test::IsOk());

  EXPECT_THAT(WriteColdStart(state_dir(), RequestOf("sidecar")),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("half of it")));
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("sidecar")), test::IsOkAnd(false));
}

TEST_F(ConsumedRecordTest, APodWhoseInitContainerWasNotRunAgainDoesNotStartCold) {
  ASSERT_THAT(WriteSkipped(state_dir(), RequestOf("setup")), test::IsOk());

  EXPECT_THAT(WriteColdStart(state_dir(), RequestOf("app")),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("not run again")));
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("")), test::IsOkAnd(false));
}

TEST_F(ConsumedRecordTest, NobodyElseCanReadIt) {
  ASSERT_THAT(Write("app"), test::IsOk());

  struct stat file {};
  struct stat directory {};
  ASSERT_EQ(::stat((temp_.path() / "consumed/u-1/app").c_str(), &file), 0);
  ASSERT_EQ(::stat((temp_.path() / "consumed/u-1").c_str(), &directory), 0);
  EXPECT_EQ(file.st_mode & 0777u, 0600u);
  EXPECT_EQ(directory.st_mode & 0777u, 0700u);
}

TEST_F(ConsumedRecordTest, ADamagedRecordIsAnErrorAndNoGuess) {
  std::filesystem::create_directories(temp_.path() / "consumed/u-1");
  test::WriteText(temp_.path() / "consumed/u-1/app", "rubbish");

  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("app")),
              test::StatusIs(Code::kDataLoss, HasSubstr("consumed/u-1/app")));
  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("")), test::StatusIs(Code::kDataLoss));
}

TEST_F(ConsumedRecordTest, AnInterruptedWriteCountsAsNone) {
  std::filesystem::create_directories(temp_.path() / "consumed/u-1");
  test::WriteText(temp_.path() / "consumed/u-1/app.partial", "restore_fr");

  EXPECT_THAT(IsConsumed(state_dir(), RequestOf("")), test::IsOkAnd(false));
}

TEST_F(ConsumedRecordTest, NamesThatWouldLeaveTheDirectoryAreRefused) {
  for (const std::string name : {"", ".", "..", "a/b", "../x", ".hidden"}) {
    EXPECT_THAT(CheckComponent(name, "the name"), test::StatusIs(Code::kInvalidArgument)) << name;
    EXPECT_THAT(WriteConsumed(state_dir(), name, "app", {"a", "", "o", ""}),
                test::StatusIs(Code::kInvalidArgument))
        << name;
  }
  EXPECT_THAT(CheckComponent(std::string(254, 'a'), "the name"),
              test::StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(CheckComponent(std::string(253, 'a'), "the name"), test::IsOk());
}

}  // namespace
}  // namespace cryopod::wrapper
