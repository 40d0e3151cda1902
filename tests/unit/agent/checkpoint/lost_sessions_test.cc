#include "agent/checkpoint/lost_sessions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/os/proc.h"

namespace cryopod::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr pid_t kInit = 10;

ProcessInfo Process(pid_t pid, pid_t parent, pid_t session) {
  ProcessInfo info;
  info.pid = pid;
  info.parent_pid = parent;
  info.session = session;
  info.command = "p" + std::to_string(pid);
  return info;
}

std::vector<pid_t> Lost(std::vector<ProcessInfo> processes) {
  processes.push_back(Process(kInit, 1, kInit));
  std::vector<pid_t> pids;
  for (const LostSession& lost : FindLostSessions(processes, kInit)) {
    pids.push_back(lost.process.pid);
  }
  return pids;
}

TEST(FindLostSessionsTest, SessionsThatAreInheritedOrMadeComeBack) {
  EXPECT_THAT(Lost({}), IsEmpty());
  EXPECT_THAT(Lost({Process(11, kInit, kInit), Process(12, 11, 12), Process(13, 12, 12)}),
              IsEmpty());
}

TEST(FindLostSessionsTest, OrphansOfTheFirstProcessMayHaveAnySession) {
  // Of leaders that have ended: daemons that forked twice, with children of their own.
  EXPECT_THAT(Lost({Process(12, kInit, 11), Process(13, 12, 11), Process(14, kInit, 11),
                    Process(15, 14, 15), Process(22, kInit, 21)}),
              IsEmpty());
  // Of a leader that lives elsewhere in the tree.
  EXPECT_THAT(Lost({Process(11, kInit, kInit), Process(12, 11, 12), Process(14, kInit, 12)}),
              IsEmpty());
}

TEST(FindLostSessionsTest, AChildMayBeOlderThanTheSessionOfItsParent) {
  // 12 was forked before 11 called setsid(2), and 14 before both 12 and 13 did.
  EXPECT_THAT(Lost({Process(11, kInit, 11), Process(12, 11, kInit)}), IsEmpty());
  EXPECT_THAT(Lost({Process(12, kInit, 12), Process(13, 12, 13), Process(14, 13, kInit)}),
              IsEmpty());
}

TEST(FindLostSessionsTest, AnOrphanBelowASubreaperWhoseLeaderHasEndedIsLost) {
  const std::vector<ProcessInfo> processes = {Process(kInit, 1, kInit), Process(11, kInit, kInit),
                                              Process(13, 11, 12)};

  const std::vector<LostSession> lost = FindLostSessions(processes, kInit);

  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].process.pid, 13);
  EXPECT_EQ(lost[0].parent.pid, 11);
  EXPECT_EQ(lost[0].parent.command, "p11");
  EXPECT_FALSE(lost[0].leader_lives);
}

TEST(FindLostSessionsTest, ALeaderThatLivesBesideTheOrphanDoesNotHelp) {
  const std::vector<ProcessInfo> processes = {Process(kInit, 1, kInit), Process(11, kInit, kInit),
                                              Process(12, 11, 12), Process(14, 11, 12)};

  const std::vector<LostSession> lost = FindLostSessions(processes, kInit);

  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].process.pid, 14);
  EXPECT_TRUE(lost[0].leader_lives);
}

TEST(FindLostSessionsTest, OnlyTheLostOnesAreNamed) {
  // 14 is older than the session of 11; 13 and 16 are orphans that 11 has adopted.
  EXPECT_THAT(Lost({Process(11, kInit, 11), Process(13, 11, 12), Process(14, 11, kInit),
                    Process(16, 11, 15), Process(17, 11, 11), Process(18, 13, 12)}),
              ElementsAre(13, 16));
}

TEST(FindLostSessionsTest, BelowAnOrphanOfTheFirstProcessASubreaperIsNoBetter) {
  EXPECT_THAT(Lost({Process(12, kInit, 11), Process(14, 12, 13)}), ElementsAre(14));
}

TEST(FindLostSessionsTest, SessionsThatAParentCannotBothHaveBeenBornInAreLost) {
  // 12 belongs to the session of 11, in which 11 was never forked by the first process's.
  EXPECT_THAT(Lost({Process(11, kInit, 11), Process(12, 11, 12), Process(13, 12, kInit),
                    Process(14, 12, 11)}),
              ElementsAre(14));
}

TEST(FindLostSessionsTest, AListThatIsNoTreeEnds) {
  EXPECT_THAT(Lost({Process(20, 21, 5), Process(21, 20, 6)}), IsEmpty());
  EXPECT_THAT(FindLostSessions({Process(11, kInit, 5)}, kInit), IsEmpty());
  EXPECT_THAT(Lost({Process(11, kInit, kInit), Process(13, 11, 12), Process(13, 11, 12)}),
              ElementsAre(13));
}

}  // namespace
}  // namespace cryopod::checkpoint
