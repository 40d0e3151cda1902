#include "agent/os/mount_info.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using test::IsOkAnd;
using test::StatusIs;
using ::testing::Contains;
using ::testing::Field;

TEST(ParseMountInfoTest, TakesEveryFieldOfALine) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const std::vector<MountEntry> entries,
      ParseMountInfo("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:7 - ext3 "
                     "/dev/root rw,errors=continue\n"));

  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].mount_id, 36);
  EXPECT_EQ(entries[0].parent_id, 35);
  EXPECT_EQ(entries[0].device, "98:0");
  EXPECT_EQ(entries[0].root, "/mnt1");
  EXPECT_EQ(entries[0].mount_point, "/mnt2");
  EXPECT_EQ(entries[0].mount_options, "rw,noatime");
  EXPECT_EQ(entries[0].file_system_type, "ext3");
  EXPECT_EQ(entries[0].source, "/dev/root");
  EXPECT_EQ(entries[0].super_options, "rw,errors=continue");
}

TEST(ParseMountInfoTest, UndoesOctalEscapesAndLeavesOtherBackslashesAndASourceMayBeEmpty) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const std::vector<MountEntry> entries,
      ParseMountInfo("1 2 0:3 /a\\134b /with\\040blank\\011tab\\012line rw - tmpfs tm\\040pfs rw\n"
                     "1 2 0:3 /\\789 /a\\04 rw - tmpfs  rw,size=1k\n"));

  EXPECT_EQ(entries.at(0).root, "/a\\b");
  EXPECT_EQ(entries.at(0).mount_point, "/with blank\ttab\nline");
  EXPECT_EQ(entries.at(0).source, "tm pfs");
  EXPECT_EQ(entries.at(1).root, "/\\789");
  EXPECT_EQ(entries.at(1).mount_point, "/a\\04");
  EXPECT_EQ(entries.at(1).source, "");
  EXPECT_EQ(entries.at(1).super_options, "rw,size=1k");
}

TEST(ParseMountInfoTest, RefusesWhatIsNoLineOfIt) {
  EXPECT_THAT(ParseMountInfo("1 2 0:3 / /a rw tmpfs none rw\n"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseMountInfo("x 2 0:3 / /a rw - tmpfs none rw\n"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseMountInfo("1 2 0:3 / - tmpfs none rw\n"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseMountInfo("1 2 0:3 / /a rw - tmpfs none\n"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseMountInfo(""), IsOkAnd(::testing::IsEmpty()));
}

TEST(ReadMountInfoTest, ShowsTheMountsOfThisProcess) {
  EXPECT_THAT(ReadMountInfo(::getpid()),
              IsOkAnd(Contains(Field(&MountEntry::mount_point, std::string("/proc")))));
}

}  // namespace
}  // namespace cryopod
