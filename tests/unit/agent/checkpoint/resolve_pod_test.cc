#include "agent/checkpoint/resolve_pod.h"

#include <sys/mount.h>
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using test::NamespaceHolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

MountEntry Mount(const std::string& mount_point, const std::string& type,
                 const std::string& super_options) {
  MountEntry entry;
  entry.mount_point = mount_point;
  entry.file_system_type = type;
  entry.super_options = super_options;
  return entry;
}

TEST(UpperDirOfTest, IsTheUpperDirectoryOfTheLastOverlayAtTheRootFileSystem) {
  EXPECT_THAT(
      UpperDirOf("/r", {Mount("/", "ext4", "rw"),
                        Mount("/other", "overlay", "rw,upperdir=/wrong,workdir=/w"),
                        Mount("/r", "overlay", "rw,lowerdir=/a:/b,upperdir=/u,workdir=/w")}),
      IsOkAnd("/u"));
  EXPECT_THAT(UpperDirOf("/r", {Mount("/r", "overlay", "upperdir=/u=v")}), IsOkAnd("/u=v"));
  EXPECT_THAT(UpperDirOf("/r", {Mount("/r", "overlay", "upperdir=/below"),
                                Mount("/r", "overlay", "upperdir=/above")}),
              IsOkAnd("/above"));
}

TEST(UpperDirOfTest, WhatIsThereInsteadIsNamed) {
  const MountEntry overlay = Mount("/r", "overlay", "upperdir=/below");
  for (const auto& [mount, part] :
       {std::pair{Mount("/r", "xfs", ""), "xfs"}, std::pair{Mount("/r", "btrfs", "rw"), "btrfs"},
        std::pair{Mount("/r", "overlay", "ro,lowerdir=/upperdir=/x"), "read-only"},
        std::pair{Mount("/r", "overlay", ""), "read-only"}}) {
    EXPECT_THAT(UpperDirOf("/r", {overlay, mount}),
                StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr(part), HasSubstr("/r"))));
  }
  EXPECT_THAT(UpperDirOf("/r", {Mount("/", "ext4", "rw")}),
              StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr("nothing"), HasSubstr("/r"))));
}

TEST(ResolvePodTest, APodWithoutContainersIsRefused) {
  EXPECT_THAT(ResolvePod(jobs::CheckpointJob()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("no running container")));
}

// runc's state directory of a container whose first process we are told of, on an overlay of ours.
class ResolveContainerTest : public test::LeafTest {
 protected:
  void SetUp() override {
    LeafTest::SetUp();
    if (IsSkipped()) return;
    for (const char* name : {"lower", "upper", "work", "rootfs", "runc/id1"}) {
      std::filesystem::create_directories(temp_.path() / name);
    }
    const std::string options =
        "lowerdir=" + Path("lower") + ",upperdir=" + Path("upper") + ",workdir=" + Path("work");
    ASSERT_EQ(::mount("overlay", Path("rootfs").c_str(), "overlay", 0, options.c_str()), 0)
        << std::strerror(errno);
    job_.runtime_root = Path("runc");
    job_.containers = {{"app", "id1", "", "", 0, "", "", {}}};
  }
  void TearDown() override { ::umount2(Path("rootfs").c_str(), MNT_DETACH); }

  std::string Path(const std::string& name) const { return temp_.path() / name; }
  void WriteState(pid_t init, uint64_t start_ticks) const {
    const nlohmann::json state = {
        {"id", "id1"},
        {"init_process_pid", init},
        {"init_process_start", start_ticks},
        {"cgroup_paths", nlohmann::json::object()},
        {"external_descriptors", {"/dev/null", "/dev/null", "/dev/null"}},
        {"config",
         {{"rootfs", Path("rootfs")},
          {"namespaces", nlohmann::json::array({{{"type", "NEWPID"}, {"path", ""}}})},
          {"mounts", nlohmann::json::array()},
          {"mask_paths", nlohmann::json::array()},
          {"readonly_paths", nlohmann::json::array()},
          {"devices", nlohmann::json::array()}}}};
    std::ofstream(Path("runc/id1/state.json")) << state.dump();
  }

  cryopod::test::TempDirectory temp_;
  jobs::CheckpointJob job_;
};

// As a runtime does it: the overlay becomes the root, and nothing else is mounted.
bool EnterRoot(const std::string& rootfs) {
  return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::chdir(rootfs.c_str()) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0 &&
         ::umount2(".", MNT_DETACH) == 0 && ::sethostname("inside", 6) == 0;
}

TEST_F(ResolveContainerTest, FindsTheKernelsObjectsOfARunningContainer) {
  const std::string rootfs = Path("rootfs");
  const NamespaceHolder holder(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS,
                               [&] { return EnterRoot(rootfs); });
  ASSERT_TRUE(holder.ready());
  Enter(holder.init());
  WriteState(holder.init(), ReadProcessInfo(holder.init())->start_time_ticks);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ResolvedPod pod, ResolvePod(job_));

  ASSERT_EQ(pod.targets.size(), 1u);
  EXPECT_EQ(pod.targets[0].upper_dir, Path("upper"));
  EXPECT_EQ(pod.targets[0].cgroup.path(), leaf_.path());
  EXPECT_EQ(pod.targets[0].state.init_pid, holder.init());
  EXPECT_EQ(pod.targets[0].pid_namespace, NamespaceInode(holder.init(), "pid").value());
  EXPECT_EQ(pod.hostname, "inside");
  EXPECT_FALSE(pod.shares_pid_namespace);
  EXPECT_THAT(CheckUnchanged(pod), IsOk());
}

TEST_F(ResolveContainerTest, AFirstProcessThatIsAnotherNowIsNotTaken) {
  const NamespaceHolder holder(CLONE_NEWPID);
  ASSERT_TRUE(holder.ready());
  WriteState(holder.init(), ReadProcessInfo(holder.init())->start_time_ticks + 1);

  EXPECT_THAT(ResolvePod(job_),
              StatusIs(Code::kAborted, AllOf(HasSubstr("container app"), HasSubstr("has ended"))));
}

TEST_F(ResolveContainerTest, AContainerTheRuntimeDoesNotKnowIsNamed) {
  EXPECT_THAT(ResolvePod(job_), StatusIs(Code::kNotFound, HasSubstr("container app")));
}

using CheckUnchangedTest = test::LeafTest;

TEST_F(CheckUnchangedTest, NamesTheContainerWhoseProcessHasEnded) {
  NamespaceHolder holder(CLONE_NEWPID);
  ASSERT_TRUE(holder.ready());
  ResolvedPod pod;
  pod.targets.push_back(Target("app", holder.init()));
  EXPECT_THAT(CheckUnchanged(pod), IsOk());

  holder.Kill();

  EXPECT_THAT(CheckUnchanged(pod), StatusIs(Code::kAborted, HasSubstr("container app")));
}

}  // namespace
}  // namespace cryopod::checkpoint
