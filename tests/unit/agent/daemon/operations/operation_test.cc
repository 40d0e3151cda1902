#include "agent/daemon/operations/operation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <regex>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/status_matchers.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using jobs::JobEvent;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Deadline Soon() { return Deadline::After(seconds(20)); }
Deadline Now() { return Deadline::After(seconds(0)); }
JobEvent Event(const std::string& stage) { return {stage, "", 0, 0}; }

TEST(OperationTest, NewsAreTheEventsNotSeenYet) {
  Operation operation("c-1", OperationKind::kCheckpoint, "shop/web", "u-1");
  EXPECT_EQ(operation.stage(), "starting");
  operation.Report(Event("resolve"));
  operation.Report(Event("freeze"));

  EXPECT_THAT(operation.WaitForNews(0, Now()).events,
              ElementsAre(Event("resolve"), Event("freeze")));
  EXPECT_THAT(operation.WaitForNews(1, Now()).events, ElementsAre(Event("freeze")));
  EXPECT_THAT(operation.WaitForNews(2, Now()).events, IsEmpty());
  EXPECT_FALSE(operation.WaitForNews(2, Now()).finished);
  EXPECT_EQ(operation.stage(), "freeze");
}

TEST(OperationTest, ItsPodStandsStillFromTheFreezeToTheThawOrTheEnd) {
  Operation operation("c-1", OperationKind::kCheckpoint, "shop/web", "u-1");
  EXPECT_FALSE(operation.frozen());
  for (const char* stage : {"prepare", "freeze", "dump"}) operation.Report(Event(stage));
  EXPECT_TRUE(operation.frozen());
  operation.Report(Event("thaw"));
  EXPECT_FALSE(operation.frozen());

  operation.Report(Event("freeze"));
  EXPECT_TRUE(operation.frozen()) << "a second try";
  operation.Finish(jobs::JobResult());

  EXPECT_FALSE(operation.frozen());
}

TEST(OperationTest, AWaiterWakesForAnEventOfAnotherThread) {
  Operation operation("c-1", OperationKind::kCheckpoint, "shop/web", "u-1");
  std::jthread reporter([&operation] {
    std::this_thread::sleep_for(milliseconds(50));
    operation.Report(Event("dump"));
  });
  const auto began = Deadline::Clock::now();

  const Operation::News news = operation.WaitForNews(0, Soon());

  EXPECT_THAT(news.events, ElementsAre(Event("dump")));
  EXPECT_LT(Deadline::Clock::now() - began, seconds(10));
}

TEST(OperationTest, AWaiterWakesForTheEndAndFindsTheResult) {
  Operation operation("c-1", OperationKind::kCheckpoint, "shop/web", "u-1");
  std::jthread worker([&operation] {
    std::this_thread::sleep_for(milliseconds(50));
    jobs::JobResult result;
    result.archive = "a";
    operation.Report(Event("commit"));
    operation.Finish(result);
  });

  std::vector<JobEvent> events;
  Operation::News news;
  while (!news.finished) {
    news = operation.WaitForNews(news.seen, Soon());
    events.insert(events.end(), news.events.begin(), news.events.end());
  }

  EXPECT_THAT(events, ElementsAre(Event("commit"))) << "no event is lost when the operation ends";
  EXPECT_EQ(operation.result().archive, "a");
}

TEST(OperationTest, AWaitEndsAtItsDeadlineWithoutNews) {
  Operation operation("c-1", OperationKind::kCheckpoint, "shop/web", "u-1");
  const auto began = Deadline::Clock::now();

  const Operation::News news = operation.WaitForNews(0, Deadline::After(milliseconds(30)));

  EXPECT_THAT(news.events, IsEmpty());
  EXPECT_GE(Deadline::Clock::now() - began, milliseconds(30));
  EXPECT_GE(operation.age(), milliseconds(30));
}

TEST(OperationTest, ProgressInsideAStageComesTogetherAndTheLastWordIsKept) {
  Operation operation("c-1", OperationKind::kCheckpoint, "shop/web", "u-1");
  operation.Report(Event("dump"));
  for (uint64_t i = 0; i < 10'000; ++i) operation.Report({"archive", "", i, 10'000});
  operation.Report(Event("commit"));

  EXPECT_THAT(operation.WaitForNews(0, Now()).events,
              ElementsAre(Event("dump"), JobEvent{"archive", "", 9'999, 10'000}, Event("commit")));
}

TEST(OperationTest, WhoHasSeenTenThousandEventsSeesTheNextOneToo) {
  Operation operation("c-1", OperationKind::kCheckpoint, "shop/web", "u-1");
  Operation::News news;
  for (uint64_t i = 0; i < 10'000; ++i) {
    operation.Report({"archive", "", i, 20'000});
    news = operation.WaitForNews(news.seen, Now());
    ASSERT_THAT(news.events, ElementsAre(JobEvent{"archive", "", i, 20'000}));
  }
  EXPECT_THAT(operation.WaitForNews(news.seen, Now()).events, IsEmpty());

  operation.Report(Event("commit"));
  operation.Finish({});

  news = operation.WaitForNews(news.seen, Now());
  EXPECT_THAT(news.events, ElementsAre(Event("commit")));
  EXPECT_TRUE(news.finished);
}

TEST(OperationTest, AnOperationThatGoesRoundAndRoundDoesNotGrowWithoutEnd) {
  Operation operation("c-1", OperationKind::kCheckpoint, "shop/web", "u-1");
  for (int i = 0; i < 5'000; ++i) {
    operation.Report(Event("prepare"));
    operation.Report(Event("dump"));
  }

  const Operation::News news = operation.WaitForNews(0, Now());

  EXPECT_EQ(news.events.size(), 1024u);
  EXPECT_EQ(news.events.back(), Event("dump"));
  EXPECT_EQ(operation.stage(), "dump");
}

TEST(OperationTableTest, ASecondOperationOnAPodIsRefusedWithTheRunningOnesId) {
  OperationTable table;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> first,
                               table.Begin(OperationKind::kCheckpoint, "shop/web", "u-1"));

  EXPECT_THAT(table.Begin(OperationKind::kRestore, "shop/web", "u-1"),
              StatusIs(Code::kAborted, AllOf(HasSubstr(first->id()), HasSubstr("shop/web"))));

  // A pod of the same name with another UID is another pod.
  EXPECT_THAT(table.Begin(OperationKind::kCheckpoint, "shop/web", "u-2"), IsOk());
  EXPECT_EQ(table.List().size(), 2u);
}

TEST(OperationTableTest, AnEndedOperationMakesRoom) {
  OperationTable table;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> first,
                               table.Begin(OperationKind::kCheckpoint, "shop/web", "u-1", "c-7"));
  EXPECT_EQ(first->id(), "c-7");

  table.End(*first);

  EXPECT_THAT(table.List(), IsEmpty());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> second,
                               table.Begin(OperationKind::kCheckpoint, "shop/web", "u-1"));
  // The late end of the first is not the second's.
  table.End(*first);
  EXPECT_THAT(table.List(), ElementsAre(second));
}

TEST(OperationTableTest, OfManyThatBeginAtOnceExactlyOneWins) {
  OperationTable table;
  std::atomic<int> won = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i) {
      threads.emplace_back([&] {
        if (table.Begin(OperationKind::kCheckpoint, "shop/web", "u-1").ok()) ++won;
      });
    }
  }

  EXPECT_EQ(won, 1);
}

TEST(NewOperationIdTest, TellsTheKindAndDoesNotRepeat) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(NewOperationId(OperationKind::kCheckpoint));

  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_TRUE(std::regex_match(*ids.begin(), std::regex("c-[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")))
      << *ids.begin();
  EXPECT_THAT(NewOperationId(OperationKind::kRestore), ::testing::StartsWith("r-"));
}

}  // namespace
}  // namespace cryopod::daemon
