#include "restore/adapt_mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/temp_directory.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using criu::RemadeKind;
using criu::RemadeMount;
using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kConfigMap[] = "/volumes/kubernetes.io~configmap/settings";
constexpr char kSubPath[] = "/volume-subpaths/settings/web/0";

// A container "web" whose root file system has /var/run lead to /run.
class RemadeMountsTest : public ::testing::Test {
 protected:
  RemadeMountsTest() {
    fs::create_directories(temp_.path() / "rootfs/var");
    fs::create_directory_symlink("../run", temp_.path() / "rootfs/var/run");
    request_.container_name = "web";
    request_.pod_uid = "new";
    request_.sandbox_id = "sandbox-new";
    request_.rootfs = temp_.path() / "rootfs";
    checkpoint_.pod_uid = "old";
    checkpoint_.sandbox_id = "sandbox-old";
    checkpoint_.containers.emplace_back().name = "web";
  }

  std::string Live(const std::string& tail) const {
    return temp_.path() / "pods/new" / tail.substr(1);
  }
  static std::string Old(const std::string& tail) { return "/var/lib/kubelet/pods/old" + tail; }

  void Bind(const std::string& source, const std::string& destination) {
    mounts_.push_back({{"destination", destination},
                       {"source", source},
                       {"type", "bind"},
                       {"options", {"rbind", "ro"}}});
  }
  void Record(const std::string& source, const std::string& destination) {
    checkpoint_.containers.front().mounts.push_back({destination, source, true});
  }
  std::vector<RemadeMount> Find() const {
    const json::Value config = json::Parse(Json{{"mounts", mounts_}}.dump()).value();
    return FindRemadeMounts(LiveMountsOf(config, request_.rootfs), request_, checkpoint_);
  }

  test::TempDirectory temp_;
  wrapper::Request request_;
  archive::PodCheckpoint checkpoint_;
  Json mounts_ = Json::array();
};

TEST_F(RemadeMountsTest, AVolumeOfBothPodsIsFoundWhereMountinfoShowsIt) {
  Bind(Live(kConfigMap), "/var/run/settings");
  Record(Old(kConfigMap), "/var/run/settings");

  EXPECT_THAT(Find(), ElementsAre(RemadeMount{RemadeKind::kVolume, "/run/settings"}));
}

TEST_F(RemadeMountsTest, WhatTheRuntimeAddsNeedsNoRecord) {
  Bind("/var/lib/containerd/sandboxes/sandbox-new/resolv.conf", "/etc/resolv.conf");
  Bind("/var/lib/containerd/sandboxes/sandbox-old/hostname", "/etc/hostname");

  EXPECT_THAT(Find(), ElementsAre(RemadeMount{RemadeKind::kFile, "/etc/resolv.conf"}));
}

TEST_F(RemadeMountsTest, AMountThatTheCheckpointedContainerHadNotOrHadOfAnotherKindIsLeftAlone) {
  Bind(Live(kConfigMap), "/new");
  Bind(Live(kConfigMap), "/config");
  Record("/srv/data", "/config");
  Bind(Live("/etc-hosts"), "/etc/hosts");
  Record(Old(kConfigMap), "/etc/hosts");

  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(RemadeMountsTest, AnArchiveCannotMakeAnOrdinaryMountOneOfTheKubelet) {
  Bind("/srv/data", "/config");
  Record(Old(kConfigMap), "/config");
  mounts_.push_back({{"destination", "/tmpfs"}, {"source", Live(kConfigMap)}, {"type", "tmpfs"}});
  Record(Old(kConfigMap), "/tmpfs");

  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(RemadeMountsTest, ASubPathCountsOnlyWhenItsVolumeIsRemade) {
  Bind(Live(kSubPath), "/app/settings.conf");
  Record(Old(kSubPath), "/app/settings.conf");
  EXPECT_THAT(Find(), IsEmpty()) << "it may be one of an emptyDir";

  fs::create_directories(Live(kConfigMap));

  EXPECT_THAT(Find(), ElementsAre(RemadeMount{RemadeKind::kSubPath, "/app/settings.conf"}));
}

TEST_F(RemadeMountsTest, OddConfigurationsAreNoMounts) {
  mounts_ = {1, "text", Json::object(), {{"type", "bind"}, {"destination", 5}}};
  EXPECT_THAT(Find(), IsEmpty());
}

}  // namespace
}  // namespace cryopod::restore
