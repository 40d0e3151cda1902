#include "agent/os/operation_cgroup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "agent/os/cgroup.h"
#include "agent/os/cgroup_paths.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using test::StatusIs;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class OperationCgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<OperationCgroup> cgroup = OperationCgroup::Create(name_);
    if (!cgroup.ok()) GTEST_SKIP() << cgroup.status().message();
    cgroup_.push_back(std::move(cgroup).value());
  }
  void TearDown() override { EXPECT_THAT(OperationCgroup::Remove(name_, Soon()), IsOk()); }

  Result<Subprocess> Spawn(std::vector<std::string> argv) {
    SpawnOptions options;
    options.argv = std::move(argv);
    options.cgroup_dir_fds = cgroup_.front().dir_fds();
    return Subprocess::Spawn(options);
  }
  // Directories of that operation in all hierarchies.
  int CountDirectories() {
    int count = 0;
    Result<std::string> mountinfo = ReadFile("/proc/self/mountinfo");
    for (const CgroupMount& mount : ParseCgroupMounts(mountinfo.ok() ? *mountinfo : "")) {
      if (PathExists(mount.path + "/cryopod/" + name_)) ++count;
    }
    return count;
  }

  std::string name_ = "cryopod-test-" + std::to_string(::getpid());
  std::vector<OperationCgroup> cgroup_;
};

TEST_F(OperationCgroupTest, AChildEntersItInEveryHierarchy) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Spawn({"/bin/sleep", "60"}));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string text,
                               ReadFile("/proc/" + std::to_string(child.pid()) + "/cgroup"));
  Result<std::string> mountinfo = ReadFile("/proc/self/mountinfo");
  ASSERT_THAT(mountinfo, IsOk());
  size_t entered = 0;
  for (const CgroupMount& mount : ParseCgroupMounts(*mountinfo)) {
    if (!PathExists(mount.path + "/cryopod/" + name_)) continue;
    const std::string controller = mount.controllers.substr(0, mount.controllers.find(','));
    EXPECT_THAT(CgroupPathOf(text, controller).value_or(""), HasSubstr("/cryopod/" + name_))
        << mount.path;
    ++entered;
  }
  EXPECT_EQ(entered, cgroup_.front().dir_fds().size());
  EXPECT_GE(entered, 1u);
}

TEST_F(OperationCgroupTest, IsListedUntilItIsRemoved) {
  EXPECT_THAT(OperationCgroup::List(), IsOkAnd(Contains(name_)));

  ASSERT_THAT(OperationCgroup::Remove(name_, Soon()), IsOk());

  EXPECT_THAT(OperationCgroup::List(), IsOkAnd(Not(Contains(name_))));
  EXPECT_EQ(CountDirectories(), 0);
}

TEST_F(OperationCgroupTest, RemovingKillsWhatIsLeft) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child,
                               Spawn({"/bin/sh", "-c", "trap '' TERM HUP; sleep 60; sleep 60"}));

  ASSERT_THAT(OperationCgroup::Remove(name_, Soon()), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, child.Wait(Soon()));
  EXPECT_EQ(exit.signal, SIGKILL);
  EXPECT_EQ(CountDirectories(), 0);
}

TEST_F(OperationCgroupTest, OneThatExistsIsUsedAgain) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Spawn({"/bin/sleep", "60"}));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const OperationCgroup again, OperationCgroup::Create(name_));

  EXPECT_EQ(again.dir_fds().size(), cgroup_.front().dir_fds().size());
  EXPECT_THAT(child.WaitOnly(Deadline::After(std::chrono::milliseconds(20))),
              StatusIs(Code::kDeadlineExceeded));  // it was not disturbed
}

TEST_F(OperationCgroupTest, RemovingOneLeavesTheOthers) {
  const std::string other = name_ + "-other";
  ASSERT_THAT(OperationCgroup::Create(other), IsOk());

  EXPECT_THAT(OperationCgroup::Remove(other, Soon()), IsOk());

  EXPECT_THAT(OperationCgroup::List(), IsOkAnd(Contains(name_)));
}

TEST_F(OperationCgroupTest, RemovingWhatIsAbsentSucceeds) {
  EXPECT_THAT(OperationCgroup::Remove(name_ + "-absent", Soon()), IsOk());
}

TEST_F(OperationCgroupTest, ANameThatWouldLeadElsewhereIsRefused) {
  for (const std::string name : {"", ".", "..", "../x", "a/b", ".hidden", "a\nb"}) {
    EXPECT_THAT(OperationCgroup::Create(name), StatusIs(Code::kInvalidArgument)) << name;
    EXPECT_THAT(OperationCgroup::Remove(name, Soon()), StatusIs(Code::kInvalidArgument)) << name;
  }
}

}  // namespace
}  // namespace cryopod
