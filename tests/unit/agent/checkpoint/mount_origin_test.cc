#include "agent/checkpoint/mount_origin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "agent/os/mount_info.h"
#include "tests/support/temp_directory.h"

namespace cryopod::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kKubelet[] = "/var/lib/kubelet";
constexpr char kPod[] = "/var/lib/kubelet/pods/uid-1";
constexpr char kEmptyDir[] = "/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~empty-dir/cache";

MountEntry Shown(const std::string& device, const std::string& root,
                 const std::string& mount_point) {
  MountEntry entry;
  entry.device = device;
  entry.root = root;
  entry.mount_point = mount_point;
  return entry;
}

// A container whose only mount is at /data, on a node that has "/" on 8:1.
class MountOriginTest : public ::testing::Test {
 protected:
  MountOriginTest() { state_.id = "container-id"; }

  // What CRI told the runtime, and what mountinfo of the container shows.
  PlacedMount Place(const std::string& told, const std::string& device, const std::string& root) {
    state_.mounts = {{"/data", told, "bind"}};
    const std::vector<PlacedMount> placed =
        PlaceMounts(state_, "sandbox-id", {Shown(device, root, "/data")}, node_);
    EXPECT_EQ(placed.size(), 1u);
    return placed.empty() ? PlacedMount() : placed.front();
  }
  MountOrigin OriginOf(const std::string& path) { return Place(path, "8:1", path).origin; }

  criu::ContainerState state_;
  std::vector<MountEntry> node_ = {Shown("8:1", "/", "/"), Shown("0:5", "/", "/proc")};
};

TEST_F(MountOriginTest, AnEmptyDirIsThePodsByWhateverWayItIsMounted) {
  struct Case {
    const char* way;
    std::string told;
    std::string device;
    std::string root;
    std::string path_in_volume;
    std::vector<MountEntry> also_on_node;
  };
  const std::string volume = kEmptyDir;
  const std::string sub_path = std::string(kPod) + "/volume-subpaths/cache/web/0";
  const std::string on_disk = "/kubelet/pods/uid-1/volumes/kubernetes.io~empty-dir/cache";
  const MountEntry memory = Shown("0:77", "/", volume);
  const std::vector<Case> cases = {
      {"whole", volume, "8:1", volume, "", {}},
      {"its directory was removed", volume, "8:1", volume + "//deleted", "", {}},
      {"the node shows it nowhere", volume, "0:99", "/", "", {}},
      // The kubelet binds the directory to a path of its own and tells CRI that one.
      {"subPath", sub_path, "8:1", volume + "/a", "a", {Shown("8:1", volume + "/a", sub_path)}},
      {"in memory", volume, "0:77", "/", "", {memory}},
      {"subPath in memory", sub_path, "0:77", "/sub", "sub", {memory}},
      // The kubelet's directory is a disk of its own, and an operator has bound it elsewhere, too.
      {"by another name of the kubelet's directory",
       "/mnt/disk" + on_disk,
       "8:16",
       on_disk,
       "",
       {Shown("8:16", "/kubelet", kKubelet), Shown("8:16", "/", "/mnt/disk")}},
  };
  const std::vector<MountEntry> node = node_;
  for (const Case& one : cases) {
    SCOPED_TRACE(one.way);
    node_ = node;
    node_.insert(node_.end(), one.also_on_node.begin(), one.also_on_node.end());

    const PlacedMount placed = Place(one.told, one.device, one.root);

    EXPECT_EQ(placed.origin, MountOrigin::kPodVolume);
    EXPECT_EQ(placed.volume_dir, volume);
    EXPECT_EQ(placed.path_in_volume, one.path_in_volume);
  }
  node_ = node;
  EXPECT_EQ(Place(volume, "8:1", volume).source, volume);
  EXPECT_EQ(Place(volume, "0:99", "/").source, volume);
}

TEST_F(MountOriginTest, ASubPathThatTheNodeShowsNowhereIsPlacedByItsVolumesName) {
  const test::TempDirectory kubelet;
  const std::string pod = (kubelet.path() / "pods/uid-1").string();
  std::filesystem::create_directories(pod + "/volumes/kubernetes.io~empty-dir/cache");

  EXPECT_EQ(Place(pod + "/volume-subpaths/cache/web/0", "0:99", "/").origin,
            MountOrigin::kPodVolume);
  EXPECT_EQ(Place(pod + "/volume-subpaths/other/web/0", "0:99", "/").origin, MountOrigin::kOutside);
}

TEST_F(MountOriginTest, AVolumeOfTheImageEndsWithItsContainer) {
  const std::string volume =
      "/var/lib/containerd/io.containerd.grpc.v1.cri/containers/container-id/volumes/5d41402a";

  const PlacedMount placed = Place(volume, "8:1", volume);

  EXPECT_EQ(placed.origin, MountOrigin::kImageVolume);
  EXPECT_EQ(placed.volume_dir, volume);
}

TEST_F(MountOriginTest, WhatTheKubeletAndTheRuntimeMakeAnewIsRemade) {
  const std::string pod = kPod;
  for (const std::string& path :
       {pod + "/etc-hosts", pod + "/containers/web/1a2b3c4d",
        pod + "/volumes/kubernetes.io~configmap/settings",
        pod + "/volumes/kubernetes.io~projected/kube-api-access",
        pod + "/volumes/kubernetes.io~secret/key/..2026_11_25_02_04_14.2116331833/key",
        std::string("/run/containerd/io.containerd.grpc.v1.cri/sandboxes/sandbox-id/hostname")}) {
    EXPECT_EQ(OriginOf(path), MountOrigin::kRemade) << path;
  }
}

TEST_F(MountOriginTest, VolumesThatOutliveThePodAreOutside) {
  const std::string pod = kPod;
  for (const std::string& path :
       {std::string("/srv/data"), pod + "/volumes/kubernetes.io~csi/pvc-1/mount",
        pod + "/volumes/kubernetes.io~local-volume/pv", std::string("/var/lib/kubelet/pods"),
        std::string("/srv/kubernetes.io~empty-dir/cache"), std::string("/srv/etc-hosts"),
        std::string("/var/lib/containerd/containers/another-id/volumes/5d41402a")}) {
    EXPECT_EQ(OriginOf(path), MountOrigin::kOutside) << path;
  }
}

TEST_F(MountOriginTest, OnlyWhatIsBoundIntoTheContainerIsPlaced) {
  state_.mounts = {{"/proc", "proc", "proc"},
                   {"/dev/shm", "/run/sandboxes/sandbox-id/shm", "bind"},
                   {"/gone", "/srv/gone", "bind"}};

  EXPECT_THAT(PlaceMounts(state_, "sandbox-id",
                          {Shown("0:5", "/", "/proc"), Shown("0:6", "/", "/dev/shm")}, node_),
              IsEmpty());
}

TEST_F(MountOriginTest, OfTwoMountsAtOnePlaceTheUppermostCounts) {
  state_.mounts = {{"/data", "/srv/data", "bind"}};

  const std::vector<PlacedMount> placed =
      PlaceMounts(state_, "sandbox-id",
                  {Shown("8:1", "/srv/data", "/data"), Shown("8:1", kEmptyDir, "/data")}, node_);

  ASSERT_EQ(placed.size(), 1u);
  EXPECT_EQ(placed[0].origin, MountOrigin::kPodVolume);
}

TEST(NodePathsOfTest, AreThoseOfEveryMountThatHoldsThePlace) {
  const std::vector<MountEntry> node = {
      Shown("8:1", "/", "/"), Shown("8:1", "/srv", "/bound"), Shown("8:1", "/srv/data", "/exact"),
      Shown("8:1", "/srv/da", "/prefix"), Shown("8:2", "/", "/other")};

  EXPECT_THAT(NodePathsOf(Shown("8:1", "/srv/data", "/data"), node),
              ElementsAre("/srv/data", "/bound/data", "/exact"));
  EXPECT_THAT(NodePathsOf(Shown("8:1", "/", "/data"), node), ElementsAre("/"));
  EXPECT_THAT(NodePathsOf(Shown("8:9", "/", "/data"), node), IsEmpty());
}

}  // namespace
}  // namespace cryopod::checkpoint
