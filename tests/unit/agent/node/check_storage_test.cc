#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "agent/node/checks.h"
#include "agent/os/directory.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::node {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckStorageTest : public ::testing::Test {
 protected:
  CheckStorageTest() {
    settings_.run_dir = temp_.path() / "run";
    settings_.state_dir = temp_.path() / "state";
    for (const std::string& path : {settings_.jobs_dir(), settings_.store_root()}) {
      EXPECT_THAT(MakeDirectories(path), cryopod::test::IsOk());
    }
  }

  cryopod::test::TempDirectory temp_;
  settings::AgentSettings settings_;
};

TEST_F(CheckStorageTest, DirectoriesAsTheAgentMakesThemWillDoAlsoWhereReadersPass) {
  EXPECT_THAT(CheckDirectories(settings_).reason, IsEmpty());

  ::chmod(settings_.run_dir.c_str(), 0710);
  EXPECT_THAT(CheckDirectories(settings_).reason, IsEmpty());
}

TEST_F(CheckStorageTest, AFolderThatIsOpenIsNamedWithTheModeThatItShouldHave) {
  const std::pair<std::string, const char*> folders[] = {
      {settings_.store_root(), "0700"}, {settings_.run_dir, "0755"}, {settings_.state_dir, "0755"}};
  for (const auto& [path, mode] : folders) {
    ::chmod(path.c_str(), 0777);
    const Finding finding = CheckDirectories(settings_);
    EXPECT_THAT(finding.reason, HasSubstr(path));
    EXPECT_THAT(finding.found, HasSubstr("0777"));
    EXPECT_EQ(finding.remedy, std::string("chmod ") + mode + " " + path);
    ::chmod(path.c_str(), 0700);
  }
}

TEST_F(CheckStorageTest, AFolderOfSomebodyElseIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "chown needs root";
  ASSERT_EQ(::chown(settings_.state_dir.c_str(), 1000, 1000), 0);

  EXPECT_THAT(CheckDirectories(settings_).reason,
              AllOf(HasSubstr(settings_.state_dir), HasSubstr("somebody else")));
}

TEST_F(CheckStorageTest, AFolderThatIsNoneIsNamed) {
  std::filesystem::remove_all(settings_.store_root());
  EXPECT_THAT(CheckDirectories(settings_).reason,
              AllOf(HasSubstr(settings_.store_root()), HasSubstr("No such file")));

  cryopod::test::WriteText(settings_.store_root(), "");
  EXPECT_THAT(CheckDirectories(settings_).reason, HasSubstr("no folder"));
}

TEST_F(CheckStorageTest, ADiskThatIsAlmostFullIsLacking) {
  if (::geteuid() != 0) GTEST_SKIP() << "mount needs root";
  ASSERT_EQ(::mount("small", settings_.state_dir.c_str(), "tmpfs", 0, "size=1m"), 0);

  const Finding finding = CheckDiskSpace(settings_);
  ::umount2(settings_.state_dir.c_str(), MNT_DETACH);

  EXPECT_THAT(finding.reason, HasSubstr(settings_.state_dir));
  EXPECT_THAT(finding.found, HasSubstr("MiB free"));
  EXPECT_THAT(finding.remedy, AllOf(HasSubstr("cryopodctl delete"), HasSubstr("256 MiB")));
}

TEST_F(CheckStorageTest, TheDiskOfAFolderThatIsNotMadeYetIsLookedAt) {
  const Finding there = CheckDiskSpace(settings_);
  std::filesystem::remove_all(settings_.state_dir);

  const Finding absent = CheckDiskSpace(settings_);

  EXPECT_EQ(absent.reason.empty(), there.reason.empty());
  EXPECT_THAT(absent.found, HasSubstr(settings_.state_dir));
}

}  // namespace
}  // namespace cryopod::node
