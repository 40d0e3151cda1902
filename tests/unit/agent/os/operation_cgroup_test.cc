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

class OperationCgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::vector<UniqueFd>> dirs = MakeOperationCgroup(name_);
    if (!dirs.ok()) GTEST_SKIP() << dirs.status().message();
    dirs_ = std::move(dirs).value();
  }
  void TearDown() override { EXPECT_THAT(RemoveOperationCgroup(name_, Soon()), IsOk()); }

  Result<Subprocess> Spawn(std::vector<std::string> argv) {
    SpawnOptions options;
    options.argv = std::move(argv);
    for (const UniqueFd& dir : dirs_) options.cgroup_dir_fds.push_back(dir.get());
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
  std::vector<UniqueFd> dirs_;
};

TEST_F(OperationCgroupTest, AChildEntersItInEveryHierarchy) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Spawn({"/bin/sleep", "60"}));

  EXPECT_GE(Directories().size(), 1u);
  EXPECT_EQ(Directories().size(), dirs_.size());
  for (const std::string& directory : Directories()) {
    EXPECT_THAT(ReadFile(directory + "/cgroup.procs"), IsOkAnd(std::to_string(child.pid()) + "\n"))
        << directory;
  }
}

TEST_F(OperationCgroupTest, RemovingKillsWhatIsLeft) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child,
                               Spawn({"/bin/sh", "-c", "trap '' TERM HUP; sleep 60; sleep 60"}));

  ASSERT_THAT(RemoveOperationCgroup(name_, Soon()), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, child.Wait(Soon()));
  EXPECT_EQ(exit.signal, SIGKILL);
  EXPECT_THAT(Directories(), ::testing::IsEmpty());
}

TEST_F(OperationCgroupTest, OneThatExistsIsUsedAgain) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Spawn({"/bin/sleep", "60"}));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<UniqueFd> again, MakeOperationCgroup(name_));

  EXPECT_EQ(again.size(), dirs_.size());
  EXPECT_THAT(child.WaitOnly(Deadline::After(std::chrono::milliseconds(20))),
              StatusIs(Code::kDeadlineExceeded));  // it was not disturbed
}

TEST_F(OperationCgroupTest, RemovingOneLeavesTheOthers) {
  const std::string other = name_ + "-other";
  ASSERT_THAT(MakeOperationCgroup(other), IsOk());

  EXPECT_THAT(RemoveOperationCgroup(other, Soon()), IsOk());
  EXPECT_THAT(RemoveOperationCgroup(other, Soon()), IsOk());  // absent

  EXPECT_EQ(Directories().size(), dirs_.size());
}

TEST_F(OperationCgroupTest, ANameThatWouldLeadElsewhereIsRefused) {
  for (const std::string name : {"", ".", "..", "../x", "a/b", ".hidden", "a\nb"}) {
    EXPECT_THAT(MakeOperationCgroup(name), StatusIs(Code::kInvalidArgument)) << name;
    EXPECT_THAT(RemoveOperationCgroup(name, Soon()), StatusIs(Code::kInvalidArgument)) << name;
  }
}

}  // namespace
}  // namespace cryopod
