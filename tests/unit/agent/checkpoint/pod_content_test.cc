#include "agent/checkpoint/pod_content.h"

#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>

#include <filesystem>
#include <fstream>
#include <functional>

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

// A volume of the pod, as two containers of it may mount it; bound into the first one's namespace.
class VolumeContentTest : public UncarriedContentTest {
 protected:
  void SetUp() override {
    UncarriedContentTest::SetUp();
    fs::create_directories(Volume() + "/sub/deep");
    fs::create_directories(temp_.path() / "seen");
  }
  std::string Volume() const {
    return (temp_.path() / "pods/1/volumes/kubernetes.io~empty-dir/cache").string();
  }
  void Write(const std::string& path) const { std::ofstream(Volume() + "/" + path) << "x"; }
  // Containers that mount these paths of the volume; the first really does.
  ResolvedPod PodThatMounts(const NamespaceHolder& holder, const std::vector<std::string>& paths,
                            MountOrigin origin = MountOrigin::kPodVolume) const {
    ResolvedPod pod = PodOf({&holder});
    for (const std::string& path : paths) {
      pod.targets[0].mounts.push_back(
          {temp_.path() / "seen", "0:1", Volume(), origin, Volume(), path});
    }
    return pod;
  }
  std::function<bool()> Binding(const std::string& path) const {
    return [from = Volume() + "/" + path, to = (temp_.path() / "seen").string()] {
      return MountPodFileSystems() &&
             ::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) == 0;
    };
  }

  const cryopod::test::TempDirectory temp_;
};

TEST_F(VolumeContentTest, FilesAreNamedOnceHoweverOftenTheVolumeIsMounted) {
  Write("file");
  const NamespaceHolder holder(kNamespaces, Binding(""));
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodThatMounts(holder, {"", ""})),
              IsOkAnd(ElementsAre(AllOf(HasSubstr("container c0: the emptyDir volume at"),
                                        HasSubstr("/seen holds files (file, sub)")))));
}

TEST_F(VolumeContentTest, DirectoriesOnTheWayToASubPathAreNone) {
  const NamespaceHolder holder(kNamespaces, Binding("sub/deep"));
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodThatMounts(holder, {"sub/deep"})), IsOkAnd(IsEmpty()));
}

TEST_F(VolumeContentTest, WhatLiesBesideASubPathIsThePodsToo) {
  Write("sub/beside");
  const NamespaceHolder holder(kNamespaces, Binding("sub/deep"));
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodThatMounts(holder, {"sub/deep"})),
              IsOkAnd(ElementsAre(HasSubstr("(sub/beside)"))));
}

TEST_F(VolumeContentTest, ASubPathThatTheNodeShowsNowhereIsLookedAtInTheContainer) {
  Write("sub/deep/file");
  const NamespaceHolder holder(kNamespaces, Binding("sub/deep"));
  ASSERT_TRUE(holder.ready());
  ResolvedPod pod = PodThatMounts(holder, {""});
  pod.targets[0].mounts[0].volume_dir = "/nowhere/pods/1/volumes/kubernetes.io~empty-dir/cache";

  EXPECT_THAT(UncarriedContent(pod), IsOkAnd(ElementsAre(HasSubstr("(file)"))));
}

TEST_F(VolumeContentTest, AVolumeOfTheImageIsCalledSo) {
  Write("file");
  const NamespaceHolder holder(kNamespaces, Binding(""));
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodThatMounts(holder, {""}, MountOrigin::kImageVolume)),
              IsOkAnd(ElementsAre(HasSubstr("the image's volume at"))));
}

TEST_F(VolumeContentTest, NamesAreToldSoThatAnArchiveCanHoldThem) {
  Write("a\nb\x1b[2J");
  const NamespaceHolder holder(kNamespaces, Binding(""));
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(UncarriedContent(PodThatMounts(holder, {""})),
              IsOkAnd(ElementsAre(HasSubstr("(a b?[2J, sub)"))));
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
