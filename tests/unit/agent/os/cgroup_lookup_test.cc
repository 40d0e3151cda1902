#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "agent/os/cgroup.h"
#include "agent/os/cgroup_paths.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"

namespace cryopod {
namespace {

using std::chrono::seconds;
using test::IsOk;
using test::SpawnIn;
using test::StatusIs;
using ::testing::HasSubstr;

class CgroupOfProcessTest : public ::testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    if (!test_cgroup_.valid()) GTEST_SKIP() << "no such hierarchy to write to on this machine";
  }

  test::TestCgroup test_cgroup_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Versions, CgroupOfProcessTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         [](const auto& version) {
                           return version.param == CgroupVersion::kV1 ? "V1" : "V2";
                         });

TEST_P(CgroupOfProcessTest, IsTheLeafThatHoldsIt) {
  const std::string leaf = test_cgroup_.MakeChild("leaf");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, SpawnIn(leaf, {"/bin/sleep", "60"}));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::OfProcess(child.pid()));

  EXPECT_EQ(cgroup.version(), GetParam());
  EXPECT_EQ(cgroup.path(), leaf);
}

// Runs `check` in a child that is itself in the cgroup `home`, has a cgroup namespace that starts
// there, and has the hierarchy mounted (`type`, `options`) at `mount_point`, in mounts of its own.
// Returns the child's exit code.
int RunInCgroupNamespace(const std::string& home, CgroupVersion version,
                         const std::string& mount_point, bool mount_inside,
                         const std::function<int()>& check) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    Result<UniqueFd> dir = OpenDirectory(home);
    if (!dir.ok() || !WriteControlFileAt(dir->get(), "cgroup.procs", "0").ok()) ::_exit(101);
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(102);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(103);
    const bool is_v1 = version == CgroupVersion::kV1;
    const auto mount_here = [&] {
      return ::mount("cgroup", mount_point.c_str(), is_v1 ? "cgroup" : "cgroup2", 0,
                     is_v1 ? "freezer" : nullptr) == 0;
    };
    if (!mount_inside && !mount_here()) ::_exit(104);
    if (::unshare(CLONE_NEWCGROUP) != 0) ::_exit(105);
    if (mount_inside && !mount_here()) ::_exit(106);
    // Away with the mount that shows everything, so that only the other can be the answer.
    const std::optional<std::string> outer = test::FreezerMount(version);
    if (!outer || ::umount2(outer->c_str(), MNT_DETACH) != 0) ::_exit(107);
    ::_exit(check());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

// 0 when the process is found in the cgroup of that path; the path is that of the directory.
int ExpectPath(pid_t pid, const std::string& expected) {
  const Result<Cgroup> cgroup = Cgroup::OfProcess(pid);
  if (!cgroup.ok()) {
    ::dprintf(STDERR_FILENO, "%s\n", cgroup.status().message().c_str());
    return 1;
  }
  if (cgroup->path() == expected) return 0;
  ::dprintf(STDERR_FILENO, "found %s instead of %s\n", cgroup->path().c_str(), expected.c_str());
  return 2;
}

TEST_P(CgroupOfProcessTest, IsFoundThroughAMountMadeInACgroupNamespace) {
  test::TempDirectory temp;
  const std::string leaf = test_cgroup_.MakeChild("leaf");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, SpawnIn(leaf, {"/bin/sleep", "60"}));

  const int exit_code =
      RunInCgroupNamespace(test_cgroup_.path(), GetParam(), temp.path(), true,
                           [&] { return ExpectPath(child.pid(), temp.path() / "leaf"); });

  EXPECT_EQ(exit_code, 0);
}

TEST_P(CgroupOfProcessTest, IsFoundThroughAMountThatStartsAboveTheCgroupNamespace) {
  test::TempDirectory temp;
  const std::string home = test_cgroup_.MakeChild("home");
  const std::string leaf = test_cgroup_.MakeChild("home/leaf");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, SpawnIn(leaf, {"/bin/sleep", "60"}));
  const std::string name = test_cgroup_.path().substr(test_cgroup_.path().rfind('/') + 1);

  // The mount's root reads "/../.." there, the path of the process "/leaf".
  const int exit_code = RunInCgroupNamespace(home, GetParam(), temp.path(), false, [&] {
    return ExpectPath(child.pid(), temp.path() / name / "home/leaf");
  });

  EXPECT_EQ(exit_code, 0);
}

TEST_P(CgroupOfProcessTest, OfASiblingIsFoundByItsPathUpwards) {
  test::TempDirectory temp;
  const std::string home = test_cgroup_.MakeChild("home");
  const std::string sibling = test_cgroup_.MakeChild("sibling");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, SpawnIn(sibling, {"/bin/sleep", "60"}));
  const std::string name = test_cgroup_.path().substr(test_cgroup_.path().rfind('/') + 1);

  const int exit_code = RunInCgroupNamespace(home, GetParam(), temp.path(), false, [&] {
    return ExpectPath(child.pid(), temp.path() / name / "sibling");
  });

  EXPECT_EQ(exit_code, 0);
}

TEST(CgroupOfProcessTest, TheFreezerOfV1WinsWhereAProcessIsInBoth) {
  const test::TestCgroup v1(CgroupVersion::kV1);
  const test::TestCgroup v2(CgroupVersion::kV2);
  if (!v1.valid() || !v2.valid()) GTEST_SKIP() << "this machine does not have both hierarchies";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd v1_dir, OpenDirectory(v1.path()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd v2_dir, OpenDirectory(v2.path()));
  SpawnOptions options;
  options.argv = {"/bin/sleep", "60"};
  options.cgroup_dir_fds = {v1_dir.get(), v2_dir.get()};
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Subprocess::Spawn(options));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::OfProcess(child.pid()));

  EXPECT_EQ(cgroup.path(), v1.path());
}

TEST(CgroupOfProcessTest, AProcessThatHasEndedIsNotFound) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);

  EXPECT_THAT(Cgroup::OfProcess(pid), StatusIs(Code::kNotFound));
}

TEST(CgroupOfProcessTest, TheRootOfAHierarchyCannotFreeze) {
  Result<std::string> own = ReadFile("/proc/self/cgroup");
  ASSERT_THAT(own, IsOk());
  const bool in_roots = CgroupPathOf(*own, "freezer").value_or("/") == "/" &&
                        CgroupPathOf(*own, "").value_or("/") == "/";
  if (!in_roots) GTEST_SKIP() << "this process is in a cgroup that can freeze";

  EXPECT_THAT(Cgroup::OfProcess(::getpid()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("unified:/")));
}

}  // namespace
}  // namespace cryopod
