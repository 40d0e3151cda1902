#include "agent/os/reason.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>

#include "agent/os/status.h"

namespace cryopod {
namespace {

TEST(ReasonTest, EveryReasonHasANameOfItsOwnAndIsFoundByIt) {
  std::set<std::string_view> names;

  for (int i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    const std::string_view name = ReasonName(reason);
    EXPECT_FALSE(name.empty()) << i;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos) << i;
    EXPECT_TRUE(names.insert(name).second) << name << " stands for two";
    EXPECT_EQ(ReasonFromName(name), reason) << name;
  }
}

TEST(ReasonTest, TheNamesThatAlertsUseStayWhatTheyAre) {
  EXPECT_EQ(ReasonName(Reason::kNoSpace), "no_space");
  EXPECT_EQ(ReasonName(Reason::kContentNotCarried), "content_not_carried");
  EXPECT_EQ(ReasonName(Reason::kCriuFailed), "criu_failed");
  EXPECT_EQ(ReasonName(Reason::kArchiveDamaged), "archive_damaged");
  EXPECT_EQ(ReasonName(Reason::kProcessDied), "process_died");
}

TEST(ReasonTest, AWordOrNumberThatIsNoneOfOursIsOther) {
  EXPECT_EQ(ReasonFromName("shop/web"), Reason::kOther);
  EXPECT_EQ(ReasonFromName(""), Reason::kOther);
  EXPECT_EQ(ReasonName(static_cast<Reason>(kReasonCount)), "other");
  EXPECT_EQ(ReasonName(static_cast<Reason>(-1)), "other");
}

TEST(ReasonTest, AStatusWithoutOneHasTheReasonOfItsCode) {
  EXPECT_EQ(Status().reason(), Reason::kNone);
  EXPECT_EQ(Status(Code::kDataLoss, "x").reason(), Reason::kArchiveDamaged);
  EXPECT_EQ(Status(Code::kAborted, "x").reason(), Reason::kBusy);
  EXPECT_EQ(Status(Code::kUnknown, "x").reason(), Reason::kOther);
  EXPECT_EQ(Status(static_cast<Code>(99), "x").reason(), Reason::kOther);
}

TEST(ReasonTest, AReasonOutlivesTheWayUp) {
  const Status status(Code::kFailedPrecondition, "it uses io_uring", Reason::kIoUring);

  const Status above = status.While("container app").While("pod shop/web");

  EXPECT_EQ(above.reason(), Reason::kIoUring);
  EXPECT_EQ(Result<int>(above).While("again").status().reason(), Reason::kIoUring);
}

TEST(ReasonTest, AFullDiskIsNamedWhereverItIsMet) {
  EXPECT_EQ(ErrnoStatus(ENOSPC, "write", "f").reason(), Reason::kNoSpace);
  EXPECT_EQ(ErrnoStatus(EDQUOT, "write", "f").reason(), Reason::kNoSpace);
  EXPECT_EQ(ErrnoStatus(EMFILE, "open", "f").reason(), Reason::kResources);
}

}  // namespace
}  // namespace cryopod
