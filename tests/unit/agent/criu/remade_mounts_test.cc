#include "agent/criu/remade_mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;

constexpr char kUid[] = "0f7c2a4e-9d5b-4c39-8a43-6a1c5d2b9e10";
constexpr char kSandbox[] = "9b2cff9044e9";
const std::string kPod = std::string("/var/lib/kubelet/pods/") + kUid;

std::optional<RemadeKind> KindOf(const std::string& source) {
  return RemadeKindOf(source, {kUid, kSandbox});
}

TEST(RemadeKindTest, TheKubeletsFilesAndVolumesThatTheAtomicWriterPublishesAreRemade) {
  EXPECT_EQ(KindOf(kPod + "/etc-hosts"), RemadeKind::kFile);
  EXPECT_EQ(KindOf(kPod + "/containers/web/1a2b3c4d"), RemadeKind::kFile);
  EXPECT_EQ(KindOf(std::string("/data/kubelet/pods/") + kUid + "/etc-hosts"), RemadeKind::kFile)
      << "a kubelet with another root directory";
  for (const char* plugin : {"configmap", "secret", "projected", "downward-api"}) {
    EXPECT_EQ(KindOf(kPod + "/volumes/kubernetes.io~" + plugin + "/settings"), RemadeKind::kVolume)
        << plugin;
  }
}

TEST(RemadeKindTest, ASubPathIsRemadeWhereverItsVolumeComesFrom) {
  const std::string source = kPod + "/volume-subpaths/settings/web/0";

  EXPECT_EQ(KindOf(source), RemadeKind::kSubPath);
}

TEST(RemadeKindTest, ASubPathIsOfARemadeVolumeWhenTheNodeHasThatVolume) {
  const test::TempDirectory pod;
  const std::string folder = pod.path().string();
  std::filesystem::create_directories(folder + "/volumes/kubernetes.io~configmap/settings");
  std::filesystem::create_directories(folder + "/volumes/kubernetes.io~empty-dir/data");

  EXPECT_TRUE(IsOfRemadeVolume(folder + "/volume-subpaths/settings/web/0"));
  EXPECT_FALSE(IsOfRemadeVolume(folder + "/volume-subpaths/data/web/0"));
  EXPECT_FALSE(IsOfRemadeVolume(folder + "/volumes/kubernetes.io~configmap/settings"));
}

TEST(RemadeKindTest, TheRuntimesFilesOfTheSandboxAreRemade) {
  const std::string containerd = "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/";
  for (const char* name : {"hosts", "hostname", "resolv.conf"}) {
    EXPECT_EQ(KindOf(containerd + kSandbox + "/" + name), RemadeKind::kFile) << name;
  }
  EXPECT_EQ(KindOf(std::string("/run/containers/storage/overlay-containers/") + kSandbox +
                   "/userdata/resolv.conf"),
            RemadeKind::kFile);
  EXPECT_TRUE(IsMadeByContainerRuntime(containerd + kSandbox + "/hosts", {kUid, kSandbox}));
  EXPECT_FALSE(IsMadeByContainerRuntime(kPod + "/etc-hosts", {kUid, kSandbox}));
}

TEST(RemadeKindTest, OtherVolumesAndPlacesOfAnotherPodAreTheirOwnersAndDotsLeadNowhere) {
  for (const std::string& source :
       {kPod + "/volumes/kubernetes.io~empty-dir/cache", kPod + "/volumes/kubernetes.io~csi/pvc",
        kPod + "/volumes/kubernetes.io~configmap/settings/deeper", kPod + "/plugins/x",
        std::string("/srv/data"), std::string("/etc/hosts"), std::string("/dev/null"),
        std::string("/var/lib/kubelet/pods"), std::string("/sandboxes/another/hosts/hosts"),
        std::string("/var/lib/kubelet/pods/another/etc-hosts"), kPod + "/volumes/../etc-hosts",
        "pods/" + std::string(kUid) + "/etc-hosts"}) {
    EXPECT_EQ(KindOf(source), std::nullopt) << source;
  }
  EXPECT_EQ(RemadeKindOf("/var/lib/kubelet/pods/another/etc-hosts", {}), RemadeKind::kFile);
}

TEST(StampedNameTest, IsWhatTheAtomicWriterMakes) {
  EXPECT_TRUE(IsStampedName("..2026_11_25_02_04_14.2116331833"));
  for (const char* name : {"..data", "..data_tmp", "..2026_11_25_02_04_14", "token",
                           "..2026_11_25_02_04_14.", "..2026_11_25_02_04_1x.211",
                           "..2026_11_25_02_04_14.21x", "2026_11_25_02_04_14.2116331833", ""}) {
    EXPECT_FALSE(IsStampedName(name)) << name;
  }
}

}  // namespace
}  // namespace cryopod::criu
