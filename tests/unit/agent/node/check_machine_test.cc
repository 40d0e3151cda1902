#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/node/checks.h"

namespace cryopod::node {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kAll = (uint64_t{1} << 41) - 1;

CapabilitySets Sets(uint64_t mask) { return {0, mask, mask, mask, 0}; }

uint64_t Without(const char* name) { return kAll & ~(uint64_t{1} << *CapabilityNumber(name)); }

TEST(CheckKernelTest, AKernelFrom514OnWillDoAndAnOlderOneIsNamedWithWhatToBoot) {
  for (const char* release : {"5.14.0", "5.14", "6.1.0-18-amd64", "6.18.0+", "10.0"}) {
    EXPECT_THAT(CheckKernel(release).reason, IsEmpty()) << release;
    EXPECT_EQ(CheckKernel(release).found, release);
  }
  for (const char* release : {"5.13.19-generic", "5.4", "4.19.0", "3.10.0-1160.el7", ""}) {
    EXPECT_THAT(CheckKernel(release).reason, HasSubstr(release)) << release;
    EXPECT_THAT(CheckKernel(release).remedy, HasSubstr("5.14")) << release;
  }
}

TEST(CheckFreezerTest, EitherVersionWillDoAndNoneIsLacking) {
  EXPECT_THAT(CheckFreezer("v1").reason, IsEmpty());
  EXPECT_EQ(CheckFreezer("v2").found, "cgroup v2");
  EXPECT_THAT(CheckFreezer("").reason, HasSubstr("freezer"));
  EXPECT_THAT(CheckFreezer("").remedy, HasSubstr("/sys/fs/cgroup"));
}

TEST(CheckCapabilitiesTest, AllWillDoAndSoWillAllThatCriuAndFilesNeed) {
  EXPECT_THAT(CheckCapabilities(Sets(kAll)).reason, IsEmpty());
  EXPECT_EQ(CheckCapabilities(Sets(kAll)).found, "all");
  EXPECT_THAT(CheckCapabilities(Sets(Without("CAP_SYS_BOOT") & Without("CAP_SYS_TIME"))).reason,
              IsEmpty());
}

TEST(CheckCapabilitiesTest, TheOneThatIsMissingIsNamed) {
  for (const char* name : {"CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE",
                           "CAP_NET_ADMIN", "CAP_CHOWN"}) {
    const Finding finding = CheckCapabilities(Sets(Without(name)));
    EXPECT_THAT(finding.reason, HasSubstr(name));
    EXPECT_THAT(finding.remedy, HasSubstr("CapabilityBoundingSet"));
  }
  // One that children cannot get is missing, too.
  CapabilitySets sets = Sets(kAll);
  sets.bounding = Without("CAP_SYS_PTRACE");
  EXPECT_THAT(CheckCapabilities(sets).reason, HasSubstr("CAP_SYS_PTRACE"));
}

TEST(CheckCapabilitiesTest, WithoutSysResourceThereIsLessButNotNothing) {
  const Finding finding = CheckCapabilities(Sets(Without("CAP_SYS_RESOURCE")));

  EXPECT_THAT(finding.reason, IsEmpty());
  EXPECT_THAT(finding.found, AllOf(HasSubstr("CAP_SYS_RESOURCE"), HasSubstr("root")));
}

TEST(CheckStagingMemoryTest, LittleMemoryIsLackingAndSaysHowMuchThereIs) {
  EXPECT_THAT(CheckStagingMemory(uint64_t{4} << 30).reason, IsEmpty());
  EXPECT_EQ(CheckStagingMemory(uint64_t{4} << 30).found, "4096 MiB available");

  const Finding finding = CheckStagingMemory(uint64_t{100} << 20);

  EXPECT_EQ(finding.found, "100 MiB available");
  EXPECT_THAT(finding.reason, HasSubstr("disk"));
  EXPECT_THAT(finding.remedy, HasSubstr("256 MiB"));
}

TEST(CheckLandlockTest, AKernelWithoutItIsLackingUnlessTheConfigurationTakesItSo) {
  settings::AgentSettings settings;

  EXPECT_THAT(CheckLandlock(1, settings).reason, IsEmpty());
  EXPECT_THAT(CheckLandlock(0, settings).reason, HasSubstr("Landlock"));
  EXPECT_THAT(CheckLandlock(0, settings).remedy, HasSubstr("import_without_landlock"));
  settings.import_without_landlock = true;
  EXPECT_THAT(CheckLandlock(0, settings).reason, IsEmpty());
  EXPECT_THAT(CheckLandlock(0, settings).found, HasSubstr("none"));
}

}  // namespace
}  // namespace cryopod::node
