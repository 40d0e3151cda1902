#include "agent/os/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/os/cgroup.h"
#include "agent/os/cgroup_paths.h"
#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

// A Xeon with AVX-512 and protection keys, a Ryzen with AVX2, and a Xeon with neither.
const CpuWords kSkylake = {
    {"1.ecx", "fffa3203"},   {"1.edx", "f8bfbff"},     {"7.0.ebx", "d19f4fbb"},
    {"7.0.ecx", "8"},        {"80000001.ecx", "121"},  {"80000001.edx", "2c100800"},
    {"d.1.eax", "f"},        {"xcr0", "2e7"},          {"xstate2.offset", "240"},
    {"xstate2.size", "100"}, {"xstate9.offset", "a80"}};
const CpuWords kRyzen = {{"1.ecx", "7ef8320b"},
                         {"1.edx", "178bfbff"},
                         {"7.0.ebx", "219c97a9"},
                         {"7.0.ecx", "40069c"},
                         {"80000001.ecx", "75c237ff"},
                         {"80000001.edx", "2fd3fbff"},
                         {"d.1.eax", "f"},
                         {"xcr0", "207"},
                         {"xstate2.offset", "240"},
                         {"xstate2.size", "100"},
                         {"xstate9.offset", "340"}};
const CpuWords kIvyBridge = {
    {"1.ecx", "7fbae3bf"}, {"1.edx", "bfebfbff"},        {"7.0.ebx", "281"},
    {"80000001.ecx", "1"}, {"80000001.edx", "2c100800"}, {"d.1.eax", "1"},
    {"xcr0", "7"},         {"xstate2.offset", "240"},    {"xstate2.size", "100"}};

TEST(MissingFromTest, AProcessorHasWhatItHas) {
  for (const CpuWords& cpu : {kSkylake, kRyzen, kIvyBridge}) {
    EXPECT_THAT(MissingFrom(cpu, cpu), IsEmpty());
  }
}

TEST(MissingFromTest, AnInstructionSetIsNamedByWordAndBit) {
  const std::vector<std::string> missing = MissingFrom(kIvyBridge, kSkylake);

  EXPECT_THAT(missing, Contains("avx2 (7.0.ebx bit 5)"));
  EXPECT_THAT(missing, Contains("avx512f (7.0.ebx bit 16)"));
  EXPECT_THAT(missing, Contains("7.0.ebx bit 31"));
  EXPECT_THAT(missing, Contains("xcr0 bit 5"));
  EXPECT_THAT(missing, Contains("d.1.eax bit 1"));  // XSAVEC
}

TEST(MissingFromTest, AProcessorThatCanMoreLacksNothing) {
  EXPECT_THAT(MissingFrom(kSkylake, kIvyBridge), IsEmpty());
}

TEST(MissingFromTest, StateAtAnotherPlaceIsNamedWithBoth) {
  EXPECT_THAT(MissingFrom(kRyzen, kSkylake), Contains("xstate9.offset a80 (here 340)"));
}

TEST(MissingFromTest, WhatOnlyKernelsUseDoesNotCount) {
  // VMX, x2APIC, the hypervisor's own bit; SMEP; IBRS and STIBP; NX; XSAVES.
  const CpuWords source = {{"1.ecx", "80200020"},
                           {"7.0.ebx", "80"},
                           {"7.0.edx", "c000000"},
                           {"80000001.edx", "100000"},
                           {"d.1.eax", "8"}};

  EXPECT_THAT(MissingFrom({}, source), IsEmpty());
}

TEST(MissingFromTest, AWordThatThisProgramDoesNotKnowCountsWhole) {
  EXPECT_THAT(MissingFrom(kRyzen, {{"24.0.ebx", "8000000000000001"}}),
              ElementsAre("24.0.ebx bit 0", "24.0.ebx bit 63"));
}

TEST(MissingFromTest, OfArm64EveryBitCounts) {
  EXPECT_THAT(
      MissingFrom({{"hwcap", "fb"}, {"hwcap2", "0"}}, {{"hwcap", "4000fb"}, {"hwcap2", "2"}}),
      ElementsAre("hwcap bit 22", "hwcap2 bit 1"));
}

TEST(ReadCpuTest, TheSameProcessorIsReadTheSameTwice) {
  const CpuWords cpu = ReadCpu();

  EXPECT_EQ(cpu, ReadCpu());
  EXPECT_THAT(MissingFrom({}, cpu), Not(IsEmpty()));
#if defined(__x86_64__)
  EXPECT_THAT(cpu, AllOf(Contains(Key("7.0.ebx")), Contains(Key("xcr0"))));
  EXPECT_THAT(MissingFrom({}, cpu), Contains(HasSubstr("1.edx bit 26")));  // SSE2
#endif
}

TEST(ParseCpuFlagsTest, TakesTheFlagsOfTheFirstProcessorSortedWhereThereAreSome) {
  EXPECT_THAT(
      ParseCpuFlags("processor\t: 0\nflags\t\t: sse2 avx\n\nprocessor\t: 1\nflags\t: fpu\n"),
      ElementsAre("avx", "sse2"));
  EXPECT_THAT(ParseCpuFlags("processor : 0\nFeatures : fp asimd\n"), ElementsAre("asimd", "fp"));
  EXPECT_THAT(ParseCpuFlags("flags without a colon\nmodel name : x\n"), IsEmpty());
  EXPECT_THAT(ParseCpuFlags(""), IsEmpty());
}

TEST(ReadMachineTest, KnowsThisMachine) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Machine machine, ReadMachine());

  EXPECT_FALSE(machine.architecture.empty());
  EXPECT_FALSE(machine.kernel.empty());
  EXPECT_FALSE(machine.cpu_flags.empty());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<CgroupMount> mounts, ReadCgroupMounts());
  const CgroupMount* mount = FreezingMount(mounts);
  if (mount == nullptr) GTEST_SKIP() << "nothing here can freeze";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::Open(mount->path));
  EXPECT_EQ(machine.cgroup_version, cgroup.version() == CgroupVersion::kV1 ? "v1" : "v2");
}

}  // namespace
}  // namespace cryopod
