#include "restore/check_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod::restore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

archive::NodeFacts Node() {
  archive::NodeFacts node;
  node.architecture = "x86_64";
  node.kernel = "6.12.3-amd64";
  node.cgroup_version = "v2";
  node.criu_version = "4.2.1";
  node.cpu_flags = {"avx", "avx2", "sse2"};
  node.cpu = {{"7.0.ebx", "128"}, {"xcr0", "7"}};
  return node;
}

TEST(FitsTest, ANodeFitsItself) { EXPECT_THAT(Fits(Node(), Node()), IsEmpty()); }

TEST(FitsTest, ANodeThatCanMoreFits) {
  archive::NodeFacts target = Node();
  target.kernel = "7.0.0";
  target.criu_version = "4.10";
  target.cpu["7.0.ebx"] = "10128";

  EXPECT_THAT(Fits(Node(), target), IsEmpty());
}

struct Mismatch {
  const char* name;
  void (*spoil)(archive::NodeFacts& target);
  const char* says;
};

class MismatchTest : public ::testing::TestWithParam<Mismatch> {};

TEST_P(MismatchTest, IsNamedWithBothSides) {
  archive::NodeFacts target = Node();
  GetParam().spoil(target);

  EXPECT_THAT(Fits(Node(), target), ElementsAre(HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    All, MismatchTest,
    ::testing::Values(
        Mismatch{"architecture", [](archive::NodeFacts& node) { node.architecture = "aarch64"; },
                 "architecture aarch64 is not the source's x86_64"},
        Mismatch{"cpu", [](archive::NodeFacts& node) { node.cpu["7.0.ebx"] = "0"; },
                 "lacks what the source's has: bmi1 (7.0.ebx bit 3), avx2 (7.0.ebx bit 5), bmi2"},
        Mismatch{"older_minor_kernel", [](archive::NodeFacts& node) { node.kernel = "6.11.9"; },
                 "kernel 6.11.9 is older than the source's 6.12.3-amd64"},
        Mismatch{"older_major_kernel", [](archive::NodeFacts& node) { node.kernel = "5.15"; },
                 "kernel 5.15"},
        Mismatch{"unreadable_kernel", [](archive::NodeFacts& node) { node.kernel = "custom"; },
                 "kernel custom"},
        Mismatch{"criu", [](archive::NodeFacts& node) { node.criu_version = "4.1"; }, "CRIU 4.1"},
        Mismatch{"cgroup", [](archive::NodeFacts& node) { node.cgroup_version = "v1"; },
                 "cgroup v1 is not the source's v2"}),
    [](const auto& entry) { return entry.param.name; });

TEST(FitsTest, EveryMismatchIsNamedAtOnce) {
  archive::NodeFacts target = Node();
  target.kernel = "5.4";
  target.criu_version = "4.1";
  target.cgroup_version = "v1";
  target.cpu = {};

  EXPECT_EQ(Fits(Node(), target).size(), 4u);
}

TEST(FitsTest, AnArchiveIsJudgedByWhatItKnowsOfItsNode) {
  archive::NodeFacts source = Node();
  source.kernel.clear();
  source.criu_version.clear();
  source.cgroup_version.clear();
  // Beside the words of the CPU the kernel's flags do not count.
  source.cpu_flags = {"of_a_newer_kernel"};

  EXPECT_THAT(Fits(source, Node()), IsEmpty());
}

TEST(FitsTest, OfAnArchiveWithoutTheWordsOfItsCpuEveryFlagMustBeThere) {
  archive::NodeFacts source = Node();
  source.cpu = {};
  EXPECT_THAT(Fits(source, Node()), IsEmpty());

  source.cpu_flags = {"avx", "avx512f", "ibpb"};
  EXPECT_THAT(Fits(source, Node()), ElementsAre(HasSubstr("has: avx512f, ibpb")));
}

}  // namespace
}  // namespace cryopod::restore
