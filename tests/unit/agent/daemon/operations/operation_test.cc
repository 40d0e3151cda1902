#include "agent/daemon/operations/operation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Deadline Soon() { return Deadline::After(seconds(20)); }
Deadline Now() { return Deadline::After(seconds(0)); }
JobEvent Event(const std::string& stage) { return {stage, "", 0, 0}; }
OperationFacts Facts() {
  OperationFacts facts;
  facts.id = "c-1";
  facts.pod = "shop/web";
  return facts;
}

TEST(OperationTest, NewsAreTheEventsNotSeenYet) {
  Operation operation(Facts());
  EXPECT_EQ(operation.progress().stage, "starting");
  operation.Report(Event("resolve"));
  operation.Report(Event("freeze"));

  EXPECT_THAT(operation.WaitForNews(0, Now()).events,
              ElementsAre(Event("resolve"), Event("freeze")));
  EXPECT_THAT(operation.WaitForNews(1, Now()).events, ElementsAre(Event("freeze")));
  EXPECT_THAT(operation.WaitForNews(2, Now()).events, IsEmpty());
  EXPECT_FALSE(operation.WaitForNews(2, Now()).finished);
  EXPECT_EQ(operation.progress().stage, "freeze");
}

TEST(OperationTest, ItsPodStandsStillFromTheFreezeToTheThawOrTheEnd) {
  Operation operation(Facts());
  EXPECT_FALSE(operation.frozen());
  for (const char* stage : {"prepare", "freeze", "dump"}) operation.Report(Event(stage));
  EXPECT_TRUE(operation.frozen());
  operation.Report(Event("thaw"));
  EXPECT_FALSE(operation.frozen());

  operation.Report(Event("freeze"));
  EXPECT_TRUE(operation.frozen()) << "a second try";
  operation.Finish({});

  EXPECT_FALSE(operation.frozen());
}

TEST(OperationTest, AWaiterWakesForAnEventOfAnotherThread) {
  Operation operation(Facts());
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
  Operation operation(Facts());
  std::jthread worker([&operation] {
    std::this_thread::sleep_for(milliseconds(50));
    Outcome outcome;
    outcome.checkpoint.archive = "a";
    operation.Report(Event("commit"));
    operation.Finish(outcome);
  });

  std::vector<JobEvent> events;
  Operation::News news;
  while (!news.finished) {
    news = operation.WaitForNews(news.seen, Soon());
    events.insert(events.end(), news.events.begin(), news.events.end());
  }

  EXPECT_THAT(events, ElementsAre(Event("commit"))) << "no event is lost when the operation ends";
  EXPECT_EQ(operation.outcome().checkpoint.archive, "a");
}

TEST(OperationTest, AWaitEndsAtItsDeadlineWithoutNews) {
  Operation operation(Facts());
  const auto began = Deadline::Clock::now();

  const Operation::News news = operation.WaitForNews(0, Deadline::After(milliseconds(30)));

  EXPECT_THAT(news.events, IsEmpty());
  EXPECT_GE(Deadline::Clock::now() - began, milliseconds(30));
  EXPECT_GE(operation.age(), milliseconds(30));
}

TEST(OperationTest, ProgressInsideAStageComesTogetherAndTheLastWordIsKept) {
  Operation operation(Facts());
  operation.Report(Event("dump"));
  for (uint64_t i = 0; i < 10'000; ++i) operation.Report({"archive", "", i, 10'000});
  operation.Report(Event("commit"));

  EXPECT_THAT(operation.WaitForNews(0, Now()).events,
              ElementsAre(Event("dump"), JobEvent{"archive", "", 9'999, 10'000}, Event("commit")));
}

TEST(OperationTest, WhoHasSeenTenThousandEventsSeesTheNextOneToo) {
  Operation operation(Facts());
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
  Operation operation(Facts());
  for (int i = 0; i < 5'000; ++i) {
    operation.Report(Event("prepare"));
    operation.Report(Event("dump"));
  }

  const Operation::News news = operation.WaitForNews(0, Now());

  EXPECT_EQ(news.events.size(), 1024u);
  EXPECT_EQ(news.events.back(), Event("dump"));
  EXPECT_EQ(operation.progress().stage, "dump");
}

TEST(OperationTest, WhoWorksOnItIsAskedToEndOnce) {
  Operation operation(Facts());
  int asked = 0;
  operation.OnCancel([&asked] { ++asked; });
  EXPECT_FALSE(operation.cancelled());

  EXPECT_THAT(operation.Cancel(), IsOk());
  EXPECT_THAT(operation.Cancel(), IsOk());

  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(operation.cancelled());
}

TEST(OperationTest, ACancellationThatCameFirstIsToldAtOnce) {
  Operation operation(Facts());
  ASSERT_THAT(operation.Cancel(), IsOk());
  int asked = 0;

  operation.OnCancel([&asked] { ++asked; });

  EXPECT_EQ(asked, 1);
}

TEST(OperationTest, OneThatHasEndedCannotBeCancelled) {
  Operation operation(Facts());
  int asked = 0;
  operation.OnCancel([&asked] { ++asked; });
  operation.Finish({});

  EXPECT_THAT(operation.Cancel(), StatusIs(Code::kFailedPrecondition, HasSubstr("c-1 has ended")));
  operation.OnCancel([&asked] { ++asked; });

  EXPECT_EQ(asked, 0);
  EXPECT_FALSE(operation.cancelled());
}

TEST(OperationTest, OneThatIsRememberedHasEndedFromTheBeginning) {
  Outcome outcome;
  outcome.status = Status(Code::kAborted, "busy");
  const Operation operation(Facts(), outcome);

  EXPECT_TRUE(operation.WaitForNews(0, Soon()).finished);
  EXPECT_THAT(operation.outcome().status, StatusIs(Code::kAborted));
}

}  // namespace
}  // namespace cryopod::daemon
