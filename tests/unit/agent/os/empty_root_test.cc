#include "agent/os/empty_root.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>

#include "agent/os/confinement.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

constexpr int kFailed = 200;

int ErrorOf(long result) { return result < 0 ? errno : 0; }

// "outside", and in it "directory" with a file and a symlink to the file outside.
class EmptyRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_EQ(::mkdir(Path("directory").c_str(), 0700), 0);
    test::WriteText(Path("directory/file"), "in");
    test::WriteText(Path("outside"), "out");
    ASSERT_EQ(::symlink("../outside", Path("directory/link").c_str()), 0);
  }
  std::string Path(const std::string& name) const { return temp_.path() / name; }

  // The exit code of a process of its own that does it.
  static int InChild(const std::function<int()>& act) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(act());
    int how = 0;
    EXPECT_EQ(::waitpid(child, &how, 0), child);
    return WIFEXITED(how) ? WEXITSTATUS(how) : -1;
  }
  static int InEmptyRoot(const std::function<int()>& act) {
    return InChild([&] { return EnterEmptyRoot().ok() ? act() : kFailed; });
  }
  int InDetached(const std::function<int(int dir_fd)>& act) const {
    return InChild([&] {
      const Result<UniqueFd> dir = OpenDirectory(Path("directory"));
      const Result<UniqueFd> detached = dir.ok() ? DetachDirectory(dir->get()) : dir.status();
      return detached.ok() ? act(detached->get()) : kFailed;
    });
  }

  test::TempDirectory temp_;
};

TEST_F(EmptyRootTest, NothingIsInItAndNothingCanBeMadeInIt) {
  EXPECT_EQ(InEmptyRoot([] {
              const Result<std::vector<DirectoryEntry>> entries = ListDirectory("/");
              return entries.ok() ? static_cast<int>(entries->size()) : kFailed;
            }),
            0);
  EXPECT_EQ(InEmptyRoot([] { return ErrorOf(::open("/new", O_WRONLY | O_CREAT, 0600)); }), EROFS);
}

TEST_F(EmptyRootTest, NoPathLeadsOut) {
  for (const char* path :
       {"/etc/passwd", "etc/passwd", "../../../../etc/passwd", "/proc/self/root"}) {
    EXPECT_EQ(InEmptyRoot([path] { return ErrorOf(::open(path, O_RDONLY)); }), ENOENT) << path;
  }
}

TEST_F(EmptyRootTest, ADetachedDirectoryIsTheSameAndHasNothingAboveIt) {
  EXPECT_EQ(InDetached([](int dir) { return ErrorOf(::openat(dir, "file", O_RDWR)); }), 0);
  EXPECT_EQ(InDetached([](int dir) { return ErrorOf(::openat(dir, "new", O_CREAT, 0600)); }), 0);
  EXPECT_TRUE(PathExists(Path("directory/new")));
  for (const char* path : {"../outside", "../../../../../etc/passwd"}) {
    EXPECT_EQ(InDetached([path](int dir) { return ErrorOf(::openat(dir, path, O_RDONLY)); }),
              ENOENT)
        << path;
  }
}

TEST_F(EmptyRootTest, NoSymlinkOfADetachedDirectoryIsFollowedAndNothingExecuted) {
  ASSERT_EQ(::chmod(Path("directory/file").c_str(), 0700), 0);

  EXPECT_EQ(InDetached([](int dir) { return ErrorOf(::openat(dir, "link", O_RDONLY)); }), ELOOP);
  EXPECT_EQ(InDetached([](int dir) {
              char name[] = "file";
              char* const argv[] = {name, nullptr};
              return ErrorOf(::execveat(dir, name, argv, nullptr, 0));
            }),
            EACCES);
}

TEST_F(EmptyRootTest, AUserIsBecomeWithoutOtherGroupsAndKeepsItsDeathSignal) {
  EXPECT_EQ(InChild([] {
              ::prctl(PR_SET_PDEATHSIG, SIGTERM);
              const gid_t some = 4;
              if (::setgroups(1, &some) != 0 || !BecomeUser(12'345).ok()) return kFailed;
              int signal = 0;
              ::prctl(PR_GET_PDEATHSIG, &signal);
              uid_t ids[3];
              gid_t groups[3];
              ::getresuid(&ids[0], &ids[1], &ids[2]);
              ::getresgid(&groups[0], &groups[1], &groups[2]);
              for (int i = 0; i < 3; ++i) {
                if (ids[i] != 12'345 || groups[i] != 12'345) return 1;
              }
              const Result<TaskCredentials> held = ReadTaskCredentials(::getpid());
              if (!held.ok() || held->capabilities.permitted != 0) return 2;
              if (held->capabilities.bounding != 0 || ::getgroups(0, nullptr) != 0) return 3;
              return signal == SIGTERM && ::setuid(0) != 0 ? 0 : 4;
            }),
            0);
}

}  // namespace
}  // namespace cryopod
