#include "restore/runtime/protocol/consumed_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::wrapper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class ConsumedRecordTest : public ::testing::Test {
 protected:
  std::string state_dir() const { return temp_.path().string(); }

  static Request RequestOf(const std::string& container, const std::string& sandbox = "s1") {
    Request request;
    request.pod_uid = "u-1";
    request.sandbox_id = sandbox;
    request.container_name = container;
    request.restore_from = "web-1";
    return request;
  }
  Result<Due> DueIn(const std::string& container, const std::string& sandbox = "s1") const {
    return DueOf(state_dir(), RequestOf(container, sandbox));
  }

  Status Add(ConsumedRecord record) const {
    return AddConsumed(state_dir(), "u-1", std::move(record));
  }
  // That `container` alone was let run of a pod which has "app", "sidecar" and had "setup".
  static ConsumedRecord RecordOf(const std::string& container) {
    ConsumedRecord record = test::SampleRecord("web-1", {container});
    record.waiting = {"app", "sidecar"};
    record.waiting.erase(container);
    record.finished = {"setup"};
    return record;
  }
  // As the version before wrote it.
  void WriteOld(const std::string& container, const std::string& restore_from = "web-1") const {
    std::filesystem::create_directories(temp_.path() / "consumed/u-1");
    test::WriteText(temp_.path() / "consumed/u-1" / container,
                    "operation_id=r-0\nremark=\nrestore_from=" + restore_from +
                        "\nrestore_operation=\ntime=2026-11-24T22:00:00Z\n");
  }

  test::TempDirectory temp_;
};

TEST_F(ConsumedRecordTest, NothingIsConsumedInAnEmptyState) {
  EXPECT_THAT(DueIn("app"), test::IsOkAnd(Due::kRestore));
  EXPECT_THAT(DueIn(""), test::IsOkAnd(Due::kRestore));
  EXPECT_THAT(WasRestored(state_dir(), RequestOf("app")), test::IsOkAnd(false));
}

TEST_F(ConsumedRecordTest, InItsSandboxWhatIsLeftOfTheCutIsRestoredAndTheRestStarts) {
  ASSERT_THAT(Add(RecordOf("app")), test::IsOk());

  EXPECT_THAT(DueIn("app"), test::IsOkAnd(Due::kStart));
  EXPECT_THAT(DueIn("sidecar"), test::IsOkAnd(Due::kRestore));
  EXPECT_THAT(DueIn("setup"), test::IsOkAnd(Due::kFinish));
  EXPECT_THAT(DueIn("debugger"), test::IsOkAnd(Due::kStart)) << "none of the archive";
}

TEST_F(ConsumedRecordTest, InAnyOtherSandboxAllOfThePodStarts) {
  ASSERT_THAT(Add(RecordOf("app")), test::IsOk());

  for (const char* container : {"", "app", "sidecar", "setup", "debugger"}) {
    EXPECT_THAT(DueIn(container, "s2"), test::IsOkAnd(Due::kStart)) << container;
  }
}

TEST_F(ConsumedRecordTest, WhatIsLetRunLaterIsAddedToTheOneRecord) {
  ConsumedRecord app = RecordOf("app");
  app.restored["app"] = "the image differs";
  ASSERT_THAT(Add(std::move(app)), test::IsOk());
  ASSERT_THAT(Add(RecordOf("sidecar")), test::IsOk());
  ASSERT_THAT(WriteReplaced(state_dir(), RequestOf("setup")), test::IsOk());

  const Result<ConsumedRecord> record = ReadConsumed(state_dir(), RequestOf(""));

  ASSERT_THAT(record, test::IsOk());
  EXPECT_THAT(record->restored, ElementsAre(Pair("app", "the image differs"), Pair("sidecar", "")));
  EXPECT_THAT(record->waiting, IsEmpty());
  EXPECT_THAT(record->finished, IsEmpty());
  EXPECT_THAT(record->replaced, ElementsAre("setup"));
  EXPECT_EQ(record->operation_id, "r-0");
  EXPECT_THAT(record->time, ::testing::MatchesRegex("20..-..-..T..:..:..Z"));
  EXPECT_THAT(DueIn("setup"), test::IsOkAnd(Due::kStart)) << "the next time";
}

TEST_F(ConsumedRecordTest, SeveralThatAddAtOnceLoseNothing) {
  std::vector<std::jthread> adders;
  for (int i = 0; i < 8; ++i) {
    adders.emplace_back([this, i] {
      EXPECT_THAT(Add(test::SampleRecord("web-1", {"c" + std::to_string(i)})), test::IsOk());
    });
  }
  adders.clear();

  const Result<ConsumedRecord> record = ReadConsumed(state_dir(), RequestOf(""));

  ASSERT_THAT(record, test::IsOk());
  EXPECT_EQ(record->restored.size(), 8u);
}

TEST_F(ConsumedRecordTest, ARecordOfAnotherArchiveOrDeliberateRestoreDoesNotCount) {
  ASSERT_THAT(Add(test::SampleRecord("web-0", {"app"})), test::IsOk());
  EXPECT_THAT(DueIn("app"), test::IsOkAnd(Due::kRestore));
  EXPECT_THAT(DueIn(""), test::IsOkAnd(Due::kRestore));

  ASSERT_THAT(Add(test::SampleRecord("web-1", {"app"}, "op-1")), test::IsOk());
  Request second = RequestOf("app");
  second.restore_operation = "op-2";
  EXPECT_THAT(DueOf(state_dir(), second), test::IsOkAnd(Due::kRestore));
  second.restore_operation = "op-1";
  second.restore_from = "";
  EXPECT_THAT(WasRestored(state_dir(), second), test::IsOkAnd(true)) << "of any archive";
}

TEST_F(ConsumedRecordTest, RecordsOfAnOlderVersionStandForOneContainerEach) {
  WriteOld("app");
  WriteOld("sidecar", "web-0");

  EXPECT_THAT(DueIn("app", "s2"), test::IsOkAnd(Due::kStart));
  EXPECT_THAT(DueIn("", "s2"), test::IsOkAnd(Due::kStart));
  EXPECT_THAT(DueIn("sidecar"), test::IsOkAnd(Due::kRestore));
  EXPECT_THAT(WasRestored(state_dir(), RequestOf("app")), test::IsOkAnd(true));

  ASSERT_THAT(Add(RecordOf("sidecar")), test::IsOk());
  EXPECT_THAT(DueIn("app"), test::IsOkAnd(Due::kStart)) << "both together";
}

TEST_F(ConsumedRecordTest, WithThePodItsRecordsGo) {
  ASSERT_THAT(Add(RecordOf("app")), test::IsOk());
  ASSERT_THAT(AddConsumed(state_dir(), "u-2", RecordOf("app")), test::IsOk());
  EXPECT_THAT(ListConsumed(state_dir()), test::IsOkAnd(ElementsAre("u-1", "u-2")));

  EXPECT_THAT(RemoveConsumed(state_dir(), "u-1"), test::IsOk());
  EXPECT_THAT(RemoveConsumed(state_dir(), "u-1"), test::IsOk()) << "again";

  EXPECT_THAT(ListConsumed(state_dir()), test::IsOkAnd(ElementsAre("u-2")));
  EXPECT_THAT(DueIn("app"), test::IsOkAnd(Due::kRestore));
  EXPECT_THAT(RemoveConsumed(state_dir(), ".."), test::StatusIs(Code::kInvalidArgument));
}

TEST_F(ConsumedRecordTest, AColdStartIsOfTheWholePodAndKeepsItsReason) {
  Request request = RequestOf("app");
  request.failure = "AlreadyRestored: by another pod";
  request.failure_reason = "already_restored";

  ASSERT_THAT(WriteColdStart(state_dir(), request), test::IsOk());
  EXPECT_THAT(WriteColdStart(state_dir(), RequestOf("sidecar")), test::IsOk()) << "again";

  for (const char* container : {"app", "sidecar", "injected", ""}) {
    EXPECT_THAT(DueIn(container, "s2"), test::IsOkAnd(Due::kStart)) << container;
  }
  EXPECT_THAT(test::ReadText(temp_.path() / "consumed/u-1/.cold"),
              HasSubstr("remark=already_restored: AlreadyRestored: by another pod\n"));
  Request other = RequestOf("app");
  other.restore_from = "web-2";
  EXPECT_THAT(DueOf(state_dir(), other), test::IsOkAnd(Due::kRestore)) << "another restore";
}

TEST_F(ConsumedRecordTest, HalfAPodDoesNotStartCold) {
  ASSERT_THAT(Add(RecordOf("app")), test::IsOk());

  EXPECT_THAT(WriteColdStart(state_dir(), RequestOf("sidecar")),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("half of it")));
  EXPECT_THAT(DueIn("sidecar"), test::IsOkAnd(Due::kRestore));
}

TEST_F(ConsumedRecordTest, APodWhoseInitContainerWasNotRunAgainDoesNotStartCold) {
  ASSERT_THAT(WriteSkipped(state_dir(), RequestOf("setup")), test::IsOk());

  EXPECT_THAT(WriteColdStart(state_dir(), RequestOf("app")),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("not run again")));
  EXPECT_THAT(DueIn(""), test::IsOkAnd(Due::kRestore));
}

TEST_F(ConsumedRecordTest, NobodyElseCanReadIt) {
  ASSERT_THAT(Add(RecordOf("app")), test::IsOk());

  struct stat file {};
  struct stat directory {};
  ASSERT_EQ(::stat((temp_.path() / "consumed/u-1/.restored").c_str(), &file), 0);
  ASSERT_EQ(::stat((temp_.path() / "consumed/u-1").c_str(), &directory), 0);
  EXPECT_EQ(file.st_mode & 0777u, 0600u);
  EXPECT_EQ(directory.st_mode & 0777u, 0700u);
}

TEST_F(ConsumedRecordTest, ADamagedRecordIsAnErrorAndNoGuess) {
  std::filesystem::create_directories(temp_.path() / "consumed/u-1");
  for (const std::string name : {".restored", "app"}) {
    test::WriteText(temp_.path() / "consumed/u-1" / name, "rubbish");

    for (const char* container : {"app", "sidecar", ""}) {
      EXPECT_THAT(DueIn(container),
                  test::StatusIs(Code::kDataLoss, HasSubstr("consumed/u-1/" + name)))
          << container;
    }
    std::filesystem::remove(temp_.path() / "consumed/u-1" / name);
  }
}

TEST_F(ConsumedRecordTest, AnInterruptedWriteCountsAsNone) {
  std::filesystem::create_directories(temp_.path() / "consumed/u-1");
  for (const char* name : {"app.partial", ".restored.partial"}) {
    test::WriteText(temp_.path() / "consumed/u-1" / name, "restore_fr");
  }

  EXPECT_THAT(DueIn(""), test::IsOkAnd(Due::kRestore));
}

TEST_F(ConsumedRecordTest, NamesThatWouldLeaveTheDirectoryAreRefused) {
  for (const std::string name : {"", ".", "..", "a/b", "../x", ".hidden"}) {
    EXPECT_THAT(CheckComponent(name, "the name"), test::StatusIs(Code::kInvalidArgument)) << name;
    EXPECT_THAT(AddConsumed(state_dir(), name, RecordOf("app")),
                test::StatusIs(Code::kInvalidArgument))
        << name;
  }
  EXPECT_THAT(CheckComponent(std::string(254, 'a'), "the name"),
              test::StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(CheckComponent(std::string(253, 'a'), "the name"), test::IsOk());
}

}  // namespace
}  // namespace cryopod::wrapper
