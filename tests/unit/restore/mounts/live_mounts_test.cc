#include "restore/mounts/live_mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::restore {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What ReadLiveConfig and LiveMountsOf make of such a config.json.
Result<LiveMounts> Read(const std::string& text) {
  const test::TempDirectory bundle;
  test::WriteText(bundle.path() / "config.json", text);
  CRYOPOD_ASSIGN_OR_RETURN(const json::Value config, ReadLiveConfig(bundle.path()));
  return LiveMountsOf(config, "/rootfs");
}

TEST(LiveMountsTest, WhatTheBundleAsksForIsRead) {
  const Result<LiveMounts> live = Read(R"({
    "process": {}, "root": {"path": "rootfs", "readonly": true},
    "mounts": [
      {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev"]},
      {"destination": "/data", "source": "/srv/data", "options": ["rbind", "rprivate", "ro"]},
      {"destination": "/etc/hosts", "type": "bind", "source": "/hosts"}],
    "linux": {"maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
              "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
                          {"path": "/dev/sdb", "type": "b", "major": 8, "minor": 16,
                           "fileMode": 25008, "uid": 5, "gid": 6}],
              "resources": {"devices": [
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": -1, "minor": 3, "access": "m"}]}}})");

  ASSERT_THAT(live, test::IsOk());
  EXPECT_EQ(live->rootfs, "/rootfs");
  EXPECT_TRUE(live->read_only_root);
  EXPECT_THAT(live->mounts,
              ElementsAre(LiveMount{"/proc", "proc", "proc", MS_NOSUID | MS_NODEV},
                          LiveMount{"/data", "bind", "/srv/data", MS_RDONLY},
                          LiveMount{"/etc/hosts", "bind", "/hosts", 0, /*keeps_flags=*/true}));
  EXPECT_THAT(live->masked_paths, ElementsAre("/proc/kcore"));
  EXPECT_THAT(live->read_only_paths, ElementsAre("/proc/sys"));
  EXPECT_THAT(live->devices, ElementsAre(LiveDevice{.path = "/dev/fuse", .major = 10, .minor = 229},
                                         LiveDevice{"/dev/sdb", 8, 16, true, 0660, 5, 6}));
  EXPECT_THAT(live->device_rules,
              ElementsAre(criu::DeviceRule{false, "", criu::kAnyDevice, criu::kAnyDevice, "rwm"},
                          criu::DeviceRule{true, "c", criu::kAnyDevice, 3, "m"}));
}

TEST(LiveMountsTest, WhatTheBundleLeavesOutIsNotAskedFor) {
  const Result<LiveMounts> live = Read(R"({"process": {}, "linux": null, "mounts": null})");

  ASSERT_THAT(live, test::IsOk());
  EXPECT_FALSE(live->read_only_root);
  EXPECT_THAT(live->mounts, IsEmpty());
  EXPECT_THAT(live->masked_paths, IsEmpty());
}

TEST(LiveMountsTest, ATextThatIsNoConfigurationIsRefused) {
  for (const char* text : {"", "[]", "5", "{", "{}", "{\"process\": 5}"}) {
    EXPECT_THAT(Read(text), test::StatusIs(Code::kDataLoss)) << text;
  }
  EXPECT_THAT(ReadLiveConfig("/absent"), test::StatusIs(Code::kNotFound));
}

TEST(LiveMountsTest, EveryOptionHasItsFlagAndTheLaterOfAPairCounts) {
  struct Case {
    std::vector<std::string> options;
    MountFlags flags;
  };
  const std::vector<Case> cases = {
      {{}, 0},
      {{"rbind", "rprivate", "relatime", "remount", ""}, 0},
      {{"ro"}, MS_RDONLY},
      {{"rro"}, MS_RDONLY},
      {{"ro", "rw"}, 0},
      {{"rw", "ro"}, MS_RDONLY},
      {{"rro", "rrw"}, 0},
      {{"nosuid", "nodev", "noexec"}, MS_NOSUID | MS_NODEV | MS_NOEXEC},
      {{"rnosuid", "rnodev", "rnoexec"}, MS_NOSUID | MS_NODEV | MS_NOEXEC},
      {{"nosuid", "suid", "nodev", "rdev", "noexec", "exec"}, 0},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(FlagsOf(one.options), one.flags) << ::testing::PrintToString(one.options);
  }
  EXPECT_EQ(FlagNames(MS_RDONLY | MS_NOEXEC), "ro,noexec");
  EXPECT_EQ(FlagNames(0), "");
}

}  // namespace
}  // namespace cryopod::restore
