#include "agent/checkpoint/pod_content.h"

#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>

#include <filesystem>
#include <optional>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOkAnd;
using cryopod::test::WriteText;
using test::NamespaceHolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A container with mount and IPC namespaces of its own: a fresh /dev/shm and /dev/mqueue, as every
// pod has.
class UncarriedContentTest : public test::LeafTest {
 protected:
  static bool MountPodFileSystems() {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("shm", "/dev/shm", "tmpfs", 0, "size=1m") == 0 &&
           (fs::exists("/dev/mqueue") || ::mkdir("/dev/mqueue", 0755) == 0) &&
           ::mount("mqueue", "/dev/mqueue", "mqueue", 0, nullptr) == 0;
  }
  // A pod of as many containers, which are all this one.
  void Start(const NamespaceHolder::Act& prepare, size_t containers = 1) {
    holder_.emplace(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID,
                    [&prepare] { return MountPodFileSystems() && prepare(); });
    ASSERT_TRUE(holder_->ready());
    for (size_t i = 0; i < containers; ++i) {
      pod_.targets.push_back(Target("c" + std::to_string(i), holder_->init()));
    }
  }

  std::optional<NamespaceHolder> holder_;
  ResolvedPod pod_;
};

TEST_F(UncarriedContentTest, APodWithNothingOfItsOwnLosesNothing) {
  Start([] { return true; });

  EXPECT_THAT(UncarriedContent(pod_), IsOkAnd(IsEmpty()));
}

TEST_F(UncarriedContentTest, FilesInDevShmAreNamedAndCountedOnceForContainersThatShareIt) {
  Start(
      [] {
        for (const std::string name : {"a", "b", "c", "d", "e"}) WriteText("/dev/shm/" + name, "x");
        return true;
      },
      2);

  EXPECT_THAT(UncarriedContent(pod_),
              IsOkAnd(ElementsAre(AllOf(HasSubstr("container c0"), HasSubstr("/dev/shm"),
                                        HasSubstr("(a, b, c and 2 more)")))));
}

TEST_F(UncarriedContentTest, SystemVObjectsAreFound) {
  Start([] { return ::shmget(0x1234, 4096, IPC_CREAT | 0600) >= 0; }, 2);

  EXPECT_THAT(UncarriedContent(pod_),
              IsOkAnd(ElementsAre(AllOf(HasSubstr("System V IPC"), HasSubstr("0x1234")))));
}

TEST_F(UncarriedContentTest, AContainerThatHasEndedIsAnErrorNotAnEmptyPod) {
  Start([] { return true; });
  holder_->Kill();

  EXPECT_FALSE(UncarriedContent(pod_).ok());
}

// A volume of the pod, as its container may mount it, of which one path is bound into it.
class VolumeContentTest : public UncarriedContentTest {
 protected:
  void SetUp() override {
    UncarriedContentTest::SetUp();
    fs::create_directories(Volume() + "/sub/deep");
    fs::create_directories(seen_);
  }
  std::string Volume() const {
    return (temp_.path() / "pods/1/volumes/kubernetes.io~empty-dir/cache").string();
  }
  void Write(const std::string& path) const { WriteText(Volume() + "/" + path, "x"); }
  void StartWith(const std::string& path, MountOrigin origin = MountOrigin::kPodVolume) {
    const std::string from = Volume() + "/" + path;
    Start([&] { return ::mount(from.c_str(), seen_.c_str(), nullptr, MS_BIND, nullptr) == 0; });
    if (!HasFatalFailure()) Mount({seen_, Volume(), origin, Volume(), path});
  }
  void Mount(PlacedMount mount) { pod_.targets[0].mounts.push_back(std::move(mount)); }

  const cryopod::test::TempDirectory temp_;
  const std::string seen_ = temp_.path() / "seen";
};

TEST_F(VolumeContentTest, FilesAreNamedOnceHoweverOftenTheVolumeIsMounted) {
  Write("file");
  StartWith("");
  Mount(pod_.targets[0].mounts[0]);

  EXPECT_THAT(UncarriedContent(pod_),
              IsOkAnd(ElementsAre(AllOf(HasSubstr("container c0: the emptyDir volume at"),
                                        HasSubstr("/seen holds files (file, sub)")))));
}

TEST_F(VolumeContentTest, DirectoriesOnTheWayToASubPathAreNone) {
  StartWith("sub/deep");

  EXPECT_THAT(UncarriedContent(pod_), IsOkAnd(IsEmpty()));
}

TEST_F(VolumeContentTest, WhatLiesBesideASubPathIsThePodsToo) {
  Write("sub/beside");
  StartWith("sub/deep");

  EXPECT_THAT(UncarriedContent(pod_), IsOkAnd(ElementsAre(HasSubstr("(sub/beside)"))));
}

TEST_F(VolumeContentTest, ASubPathThatTheNodeShowsNowhereIsLookedAtInTheContainer) {
  Write("sub/deep/file");
  StartWith("sub/deep");
  pod_.targets[0].mounts[0].volume_dir = "/nowhere/pods/1/volumes/kubernetes.io~empty-dir/cache";
  pod_.targets[0].mounts[0].path_in_volume = "";

  EXPECT_THAT(UncarriedContent(pod_), IsOkAnd(ElementsAre(HasSubstr("(file)"))));
}

TEST_F(VolumeContentTest, AVolumeOfTheImageIsCalledSo) {
  Write("file");
  StartWith("", MountOrigin::kImageVolume);

  EXPECT_THAT(UncarriedContent(pod_), IsOkAnd(ElementsAre(HasSubstr("the image's volume at"))));
}

TEST_F(VolumeContentTest, NamesAreToldSoThatAnArchiveCanHoldThem) {
  Write("a\nb\x1b[2J");
  StartWith("");

  EXPECT_THAT(UncarriedContent(pod_), IsOkAnd(ElementsAre(HasSubstr("(a b?[2J, sub)"))));
}

}  // namespace
}  // namespace cryopod::checkpoint
