#include "agent/os/operation_cgroup.h"

#include <gtest/gtest.h>
#include <unistd.h>

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
  std::vector<std::string> Directories() {
    std::vector<std::string> directories;
    const std::vector<CgroupMount> mounts = ReadCgroupMounts().value();
    for (const CgroupMount& mount : mounts) {
      const std::string path = mount.path + "/cryopod/" + name_;
      if (PathExists(path)) directories.push_back(path);
    }
    return directories;
  }

  std::string name_ = "cryopod-test-" + std::to_string(::getpid());
  std::vector<OperationCgroup> cgroup_;
};

TEST_F(OperationCgroupTest, AChildEntersItInEveryHierarchy) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Spawn({"/bin/sleep", "60"}));

  EXPECT_GE(Directories().size(), 1u);
  EXPECT_EQ(Directories().size(), cgroup_.front().dir_fds().size());
  for (const std::string& directory : Directories()) {
    EXPECT_THAT(ReadFile(directory + "/cgroup.procs"), IsOkAnd(std::to_string(child.pid()) + "\n"))
        << directory;
  }
}

TEST_F(OperationCgroupTest, IsListedUntilItIsRemoved) {
  EXPECT_THAT(OperationCgroup::List(), IsOkAnd(Contains(name_)));

  ASSERT_THAT(OperationCgroup::Remove(name_, Soon()), IsOk());

  EXPECT_THAT(OperationCgroup::List(), IsOkAnd(Not(Contains(name_))));
  EXPECT_THAT(Directories(), ::testing::IsEmpty());
}

TEST_F(OperationCgroupTest, RemovingKillsWhatIsLeft) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child,
                               Spawn({"/bin/sh", "-c", "trap '' TERM HUP; sleep 60; sleep 60"}));

  ASSERT_THAT(OperationCgroup::Remove(name_, Soon()), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, child.Wait(Soon()));
  EXPECT_EQ(exit.signal, SIGKILL);
  EXPECT_THAT(Directories(), ::testing::IsEmpty());
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
  EXPECT_THAT(OperationCgroup::Remove(other, Soon()), IsOk());  // absent

  EXPECT_THAT(OperationCgroup::List(), IsOkAnd(Contains(name_)));
}

TEST_F(OperationCgroupTest, ANameThatWouldLeadElsewhereIsRefused) {
  for (const std::string name : {"", ".", "..", "../x", "a/b", ".hidden", "a\nb"}) {
    EXPECT_THAT(OperationCgroup::Create(name), StatusIs(Code::kInvalidArgument)) << name;
    EXPECT_THAT(OperationCgroup::Remove(name, Soon()), StatusIs(Code::kInvalidArgument)) << name;
  }
}

}  // namespace
}  // namespace cryopod
