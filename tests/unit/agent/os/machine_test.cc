#include "agent/os/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kFreezer[] =
    "30 25 0:26 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n";
constexpr char kMemory[] =
    "31 25 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";
constexpr char kUnified[] =
    "32 25 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

TEST(ParseCpuFlagsTest, TakesTheFlagsOfTheFirstProcessorSorted) {
  EXPECT_THAT(
      ParseCpuFlags("processor\t: 0\nflags\t\t: sse2 avx\n\nprocessor\t: 1\nflags\t: fpu\n"),
      ElementsAre("avx", "sse2"));
  EXPECT_THAT(ParseCpuFlags("processor : 0\nFeatures : fp asimd\n"), ElementsAre("asimd", "fp"));
}

TEST(ParseCpuFlagsTest, ATextWithoutFlagsHasNone) {
  EXPECT_THAT(ParseCpuFlags("flags without a colon\nmodel name : x\n"), IsEmpty());
  EXPECT_THAT(ParseCpuFlags(""), IsEmpty());
}

TEST(FreezingHierarchyTest, TheFreezerOfVersion1WinsWhereItIsMounted) {
  EXPECT_EQ(FreezingHierarchy(std::string(kUnified) + kMemory + kFreezer), "v1");
  EXPECT_EQ(FreezingHierarchy(std::string(kFreezer) + kUnified), "v1");
}

TEST(FreezingHierarchyTest, WithoutItTheUnifiedOneFreezes) {
  EXPECT_EQ(FreezingHierarchy(std::string(kMemory) + kUnified), "v2");
}

TEST(FreezingHierarchyTest, NothingThatFreezesIsSaidSo) {
  EXPECT_EQ(FreezingHierarchy(kMemory), "");
  EXPECT_EQ(FreezingHierarchy(""), "");
}

TEST(ReadMachineTest, KnowsThisMachine) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Machine machine, ReadMachine());

  EXPECT_FALSE(machine.architecture.empty());
  EXPECT_FALSE(machine.kernel.empty());
  EXPECT_FALSE(machine.cpu_flags.empty());
}

}  // namespace
}  // namespace cryopod
