#include "agent/checkpoint/pod_content.h"

#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>

#include <filesystem>
#include <fstream>

#include "agent/os/proc.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/dump_target_fixture.h"
#include "tests/unit/agent/checkpoint/namespace_holder.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using test::NamespaceHolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(IsEmptyDirVolumeTest, KnowsTheKubeletsLayoutUnderAnyRoot) {
  EXPECT_TRUE(IsEmptyDirVolume("/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/cache"));
  EXPECT_TRUE(IsEmptyDirVolume("/data/kubelet/pods/1/volumes/kubernetes.io~empty-dir/a/subpath"));
}

TEST(IsEmptyDirVolumeTest, OtherVolumesOutliveThePod) {
  EXPECT_FALSE(IsEmptyDirVolume("/var/lib/kubelet/pods/1/volumes/kubernetes.io~secret/token"));
  EXPECT_FALSE(IsEmptyDirVolume("/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/"));
  EXPECT_FALSE(IsEmptyDirVolume("/srv/kubernetes.io~empty-dir/cache"));
  EXPECT_FALSE(IsEmptyDirVolume("/etc/hosts"));
  EXPECT_FALSE(IsEmptyDirVolume(""));
}

constexpr int kNamespaces = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID;

bool MountPrivate() { return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0; }

// Containers with mount and IPC namespaces of their own: a fresh /dev/shm and /dev/mqueue, as every
// pod has.
class UncarriedContentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!leaf_.valid()) GTEST_SKIP() << "cgroups and namespaces need root";
  }
  static bool MountPodFileSystems() {
    return MountPrivate() && ::mount("shm", "/dev/shm", "tmpfs", 0, "size=1m") == 0 &&
           (fs::exists("/dev/mqueue") || ::mkdir("/dev/mqueue", 0755) == 0) &&
           ::mount("mqueue", "/dev/mqueue", "mqueue", 0, nullptr) == 0;
  }
  ResolvedPod PodOf(const std::vector<const NamespaceHolder*>& holders) const {
    ResolvedPod pod;
    for (const NamespaceHolder* holder : holders) {
      pod.targets.push_back(leaf_.Target("c" + std::to_string(pod.targets.size()), holder->init()));
    }
    return pod;
  }

  const test::AnyLeaf leaf_;
};

TEST_F(UncarriedContentTest, APodWithNothingOfItsOwnLosesNothing) {
  const NamespaceHolder holder(kNamespaces, MountPodFileSystems);
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodOf({&holder})), IsOkAnd(IsEmpty()));
}

TEST_F(UncarriedContentTest, FilesInDevShmAreNamedAndCounted) {
  const NamespaceHolder holder(kNamespaces, [] {
    if (!MountPodFileSystems()) return false;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      std::ofstream(std::string("/dev/shm/") + name) << "x";
    }
    return true;
  });
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodOf({&holder})),
              IsOkAnd(ElementsAre(AllOf(HasSubstr("container c0"), HasSubstr("/dev/shm"),
                                        HasSubstr("a, b, c and 2 more")))));
}

TEST_F(UncarriedContentTest, ADevShmThatTwoContainersShareIsToldOnce) {
  const NamespaceHolder holder(kNamespaces, [] {
    if (!MountPodFileSystems()) return false;
    std::ofstream("/dev/shm/only") << "x";
    return true;
  });
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodOf({&holder, &holder})),
              IsOkAnd(ElementsAre(HasSubstr("(only)"))));
}

TEST_F(UncarriedContentTest, SystemVObjectsAreFound) {
  const NamespaceHolder holder(kNamespaces, [] {
    return MountPodFileSystems() && ::shmget(0x1234, 4096, IPC_CREAT | 0600) >= 0;
  });
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodOf({&holder, &holder})),
              IsOkAnd(ElementsAre(AllOf(HasSubstr("System V IPC"), HasSubstr("0x1234")))));
}

TEST_F(UncarriedContentTest, FilesInAnEmptyDirAreFoundAndEmptyOnesAreNot) {
  const NamespaceHolder holder(kNamespaces, MountPodFileSystems);
  ASSERT_TRUE(holder.ready());
  const cryopod::test::TempDirectory kubelet;
  const std::string volumes = (kubelet.path() / "pods/1/volumes/kubernetes.io~empty-dir").string();
  fs::create_directories(volumes + "/full");
  fs::create_directories(volumes + "/empty");
  std::ofstream(volumes + "/full/file") << "x";
  ResolvedPod pod = PodOf({&holder, &holder});
  for (DumpTarget& target : pod.targets) {
    target.requested.mounts = {{"/cache", volumes + "/full", false},
                               {"/scratch", volumes + "/empty", false},
                               {"/etc/hosts", "/etc/hosts", false}};
  }

  EXPECT_THAT(UncarriedContent(pod),
              IsOkAnd(ElementsAre(
                  AllOf(HasSubstr("container c0"), HasSubstr("/cache"), HasSubstr("(file)")))));
}

TEST_F(UncarriedContentTest, AContainerThatHasEndedIsAnErrorNotAnEmptyPod) {
  ResolvedPod pod;
  {
    const NamespaceHolder holder(kNamespaces, MountPodFileSystems);
    ASSERT_TRUE(holder.ready());
    pod = PodOf({&holder});
  }

  EXPECT_FALSE(UncarriedContent(pod).ok());
}

}  // namespace
}  // namespace cryopod::checkpoint
