#include "agent/daemon/operations/operation_register.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <thread>

#include "agent/jobs/job_directory.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::daemon {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using jobs::JobKind;
using std::chrono::hours;
using std::chrono::minutes;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class OperationRegisterTest : public ::testing::Test {
 protected:
  static OperationFacts Facts(const std::string& id = "", const std::string& pod_key = "u-1") {
    OperationFacts facts;
    facts.id = id;
    facts.pod = "shop/web";
    facts.pod_key = pod_key;
    facts.archive = "a";
    return facts;
  }
  std::shared_ptr<Operation> Begin(const OperationFacts& facts) {
    Result<OperationRegister::Begun> begun = register_->Begin(facts);
    EXPECT_THAT(begun, IsOk());
    EXPECT_FALSE(begun->found);
    return begun->operation;
  }
  void RunAndEnd(const std::string& id, const Outcome& outcome = {}) {
    register_->Finish(Begin(Facts(id)), outcome);
  }
  // The next one knows nothing but what is on disk.
  void Restart() { register_.emplace(temp_.path()); }
  fs::path EndedFile(const std::string& id) const {
    return temp_.path() / "operations" / (id + ".json");
  }
  static void MakeOlder(const fs::path& file, std::chrono::seconds age) {
    fs::last_write_time(file, fs::file_time_type::clock::now() - age);
  }

  const cryopod::test::TempDirectory temp_;
  std::optional<OperationRegister> register_{std::in_place, temp_.path()};
};

TEST_F(OperationRegisterTest, ASecondOperationOnAPodIsRefusedWithTheRunningOnesId) {
  const std::shared_ptr<Operation> first = Begin(Facts());

  OperationFacts restore = Facts();
  restore.kind = JobKind::kRestore;
  EXPECT_THAT(register_->Begin(restore),
              StatusIs(Code::kAborted, AllOf(HasSubstr(first->id()), HasSubstr("shop/web"))));

  // A pod of the same name with another UID is another pod.
  EXPECT_THAT(register_->Begin(Facts("", "u-2")), IsOk());
  EXPECT_THAT(register_->ListRunning(), SizeIs(2));
}

TEST_F(OperationRegisterTest, AnEndedOperationMakesRoom) {
  const std::shared_ptr<Operation> first = Begin(Facts("c-7"));
  EXPECT_EQ(first->id(), "c-7");

  register_->Finish(first, {});

  EXPECT_THAT(register_->ListRunning(), IsEmpty());
  EXPECT_TRUE(first->WaitForNews(0, Deadline::After(minutes(1))).finished);
  const std::shared_ptr<Operation> second = Begin(Facts());
  // The late end of the first is not the second's.
  register_->Drop(*first);
  EXPECT_THAT(register_->ListRunning(), ElementsAre(second));
}

TEST_F(OperationRegisterTest, OfManyThatBeginAtOnceExactlyOneWins) {
  std::atomic<int> won = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i) {
      threads.emplace_back([&] {
        if (register_->Begin(Facts()).ok()) ++won;
      });
    }
  }

  EXPECT_EQ(won, 1);
}

TEST_F(OperationRegisterTest, ARetryFindsTheOperationWhileItRunsAndItsResultAfterwards) {
  const std::shared_ptr<Operation> first = Begin(Facts("mine"));
  OperationFacts unnamed = Facts("mine");
  unnamed.archive = "named-by-the-time";
  unnamed.archive_is_asked = false;
  for (const OperationFacts& asked : {Facts("mine"), unnamed}) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const OperationRegister::Begun again, register_->Begin(asked));
    EXPECT_TRUE(again.found);
    EXPECT_EQ(again.operation, first);
  }
  Outcome outcome;
  outcome.checkpoint.digest = "sha256:00";
  register_->Finish(first, outcome);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const OperationRegister::Begun again,
                               register_->Begin(Facts("mine")));

  EXPECT_TRUE(again.found);
  EXPECT_EQ(again.operation->outcome().checkpoint.digest, "sha256:00");
  EXPECT_THAT(register_->ListRunning(), IsEmpty());
}

TEST_F(OperationRegisterTest, OneThatNeverRanIsBegunAnew) {
  register_->Drop(*Begin(Facts("mine")));

  EXPECT_THAT(register_->Find("mine"), StatusIs(Code::kNotFound));
  Begin(Facts("mine"));
}

TEST_F(OperationRegisterTest, AnotherQuestionUnderTheSameIdIsRefused) {
  const std::shared_ptr<Operation> first = Begin(Facts("mine"));
  const auto check = [&] {
    for (const char* what : {"pod", "archive", "kind"}) {
      OperationFacts other = Facts("mine");
      if (what == std::string("pod")) other.pod = "shop/db";
      if (what == std::string("archive")) other.archive = "b";
      if (what == std::string("kind")) other.kind = JobKind::kPod;
      EXPECT_THAT(register_->Begin(other),
                  StatusIs(Code::kAlreadyExists,
                           AllOf(HasSubstr("checkpoint of pod shop/web"), HasSubstr("archive a"))))
          << what;
    }
  };

  check();
  register_->Finish(first, {});
  check();
}

TEST_F(OperationRegisterTest, AnImpossibleIdIsRefused) {
  for (const char* id : {"../escape", "a/b", "-a", "a b", ".", "\x1b"}) {
    EXPECT_THAT(register_->Begin(Facts(id)), StatusIs(Code::kInvalidArgument)) << id;
    EXPECT_THAT(register_->Find(id), StatusIs(Code::kInvalidArgument)) << id;
  }
}

TEST_F(OperationRegisterTest, WhatEndedIsRememberedWithAllThatItCameTo) {
  OperationFacts facts = Facts("p-1");
  facts.kind = JobKind::kPod;
  Outcome outcome;
  outcome.status = Status(Code::kDataLoss, "blob 4f", Reason::kArchiveDamaged);
  outcome.restore.sandbox_id = "5a";
  outcome.restore.containers = {{"app", "4f", 17}};
  outcome.restore.phases = {{"create app", 5}};
  register_->Finish(Begin(facts), outcome);

  Restart();
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> found, register_->Find("p-1"));

  EXPECT_TRUE(found->WaitForNews(0, Deadline::After(minutes(1))).finished);
  EXPECT_EQ(found->facts().kind, JobKind::kPod);
  EXPECT_EQ(found->pod(), "shop/web");
  EXPECT_EQ(found->facts().archive, "a");
  EXPECT_LT(facts.began - found->facts().began, std::chrono::seconds(1));
  EXPECT_THAT(found->outcome().status, StatusIs(Code::kDataLoss, "blob 4f"));
  EXPECT_EQ(found->outcome().status.reason(), Reason::kArchiveDamaged);
  EXPECT_EQ(found->outcome().restore.sandbox_id, "5a");
  ASSERT_THAT(found->outcome().restore.containers, SizeIs(1));
  EXPECT_EQ(found->outcome().restore.containers[0].pid, 17);
  ASSERT_THAT(found->outcome().restore.phases, SizeIs(1));
  EXPECT_EQ(found->outcome().restore.phases[0].name, "create app");
}

TEST_F(OperationRegisterTest, ThoseThatEndedAreListedNewestFirst) {
  for (const auto& [id, age] :
       {std::pair{"new", hours(0)}, std::pair{"old", hours(2)}, std::pair{"middle", hours(1)}}) {
    OperationFacts facts = Facts(id);
    facts.began -= age;
    register_->Finish(Begin(facts), {});
  }

  std::vector<std::string> ids;
  for (const std::shared_ptr<Operation>& operation : register_->ListEnded()) {
    ids.push_back(operation->id());
  }

  EXPECT_THAT(ids, ElementsAre("new", "middle", "old"));
}

TEST_F(OperationRegisterTest, OfThoseThatEndedTheOldestAreForgotten) {
  RunAndEnd("oldest");
  for (size_t i = 1; i < OperationRegister::kEndedMax; ++i) {
    const fs::path copy = EndedFile("copy-" + std::to_string(i));
    fs::copy_file(EndedFile("oldest"), copy);
    MakeOlder(copy, minutes(1));
  }
  MakeOlder(EndedFile("oldest"), minutes(2));

  RunAndEnd("newest");

  EXPECT_THAT(register_->ListEnded(), SizeIs(OperationRegister::kEndedMax));
  EXPECT_THAT(register_->Find("oldest"), StatusIs(Code::kNotFound, HasSubstr("list --all")));
  EXPECT_THAT(register_->Find("newest"), IsOk());
}

TEST_F(OperationRegisterTest, WhatEndedLongAgoIsForgotten) {
  for (const char* id : {"old", "young"}) RunAndEnd(id);
  MakeOlder(EndedFile("old"), OperationRegister::kEndedAge + minutes(1));
  MakeOlder(EndedFile("young"), OperationRegister::kEndedAge - minutes(1));

  RunAndEnd("newest");

  EXPECT_THAT(register_->Find("old"), StatusIs(Code::kNotFound));
  EXPECT_THAT(register_->Find("young"), IsOk());
}

TEST_F(OperationRegisterTest, AnOutcomeThatCannotBeReadIsLeftOut) {
  RunAndEnd("good");
  RunAndEnd("bad");
  cryopod::test::WriteText(EndedFile("bad"), "{");

  EXPECT_THAT(register_->ListEnded(), SizeIs(1));
  EXPECT_THAT(register_->Find("bad"), StatusIs(Code::kDataLoss));
}

TEST_F(OperationRegisterTest, AnOutcomeIsKeptBeforeItsJobGoesAndHeardOfAfterwards) {
  const std::shared_ptr<Operation> operation = Begin(Facts("mine"));
  bool removed = false;

  register_->Finish(operation, {}, [&] {
    EXPECT_THAT(OperationRegister(temp_.path()).Find("mine"), IsOk());
    EXPECT_THAT(register_->ListRunning(), SizeIs(1)) << "nobody else comes before it is done";
    EXPECT_THAT(register_->ListEnded(), IsEmpty());
    EXPECT_FALSE(operation->WaitForNews(0, Deadline::After(hours(0))).finished);
    removed = true;
  });

  EXPECT_TRUE(removed);
}

TEST_F(OperationRegisterTest, AnOutcomeThatCannotBeKeptReachesThoseWhoWait) {
  cryopod::test::WriteText(temp_.path() / "operations", "in the way");
  const std::shared_ptr<Operation> operation = Begin(Facts());

  register_->Finish(operation, {});

  EXPECT_TRUE(operation->WaitForNews(0, Deadline::After(minutes(1))).finished);
  EXPECT_THAT(register_->ListRunning(), IsEmpty());
}

TEST_F(OperationRegisterTest, TheOneThatRunsOnAPodIsFound) {
  const std::shared_ptr<Operation> first = Begin(Facts());
  const std::shared_ptr<Operation> second = Begin(Facts("", "u-2"));

  EXPECT_EQ(register_->FindByPod("u-1"), first);
  EXPECT_EQ(register_->FindByPod("u-2"), second);
  EXPECT_EQ(register_->FindByPod("u-3"), nullptr);
}

TEST_F(OperationRegisterTest, AJobThatIsNotUnderstoodIsListedAndSaysWhy) {
  EXPECT_THAT(register_->ListForeign(), IsEmpty());

  register_->AddForeign("c-9", Status(Code::kUnimplemented, "written in format 9"));

  ASSERT_THAT(register_->ListForeign(), SizeIs(1));
  EXPECT_EQ(register_->ListForeign()[0].id, "c-9");
  EXPECT_EQ(register_->ListForeign()[0].why, "written in format 9");
  EXPECT_THAT(register_->Find("c-9"), StatusIs(Code::kUnimplemented, HasSubstr("format 9")));
}

TEST_F(OperationRegisterTest, TheFolderOfLogsIsToldWhereThereAreSome) {
  const fs::path folder = temp_.path() / "logs" / "c-1";
  EXPECT_EQ(register_->LogFolder("c-1"), "");

  fs::create_directories(folder);

  EXPECT_EQ(register_->LogFolder("c-1"), folder);
}

}  // namespace
}  // namespace cryopod::daemon
