#include "agent/criu/rootfs_path.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

namespace fs = std::filesystem;

class RootfsPathTest : public ::testing::Test {
 protected:
  std::string Resolve(const std::string& path) { return ResolveInRootfs(rootfs_.path(), path); }
  void Link(const std::string& target, const std::string& name) {
    fs::create_directories((rootfs_.path() / name).parent_path());
    fs::create_symlink(target, rootfs_.path() / name);
  }

  cryopod::test::TempDirectory rootfs_;
};

TEST_F(RootfsPathTest, FollowsAnAbsoluteLinkInsideTheRoot) {
  Link("/run", "var/run");

  EXPECT_EQ(Resolve("/var/run/secrets/token"), "/run/secrets/token");
}

TEST_F(RootfsPathTest, FollowsARelativeLink) {
  Link("../run", "var/run");

  EXPECT_EQ(Resolve("/var/run/secrets"), "/run/secrets");
}

TEST_F(RootfsPathTest, ALinkThatClimbsEndsAtTheRoot) {
  Link("../../../../../etc", "data");

  EXPECT_EQ(Resolve("/data/passwd"), "/etc/passwd");
}

TEST_F(RootfsPathTest, DotDotNeverLeavesTheRoot) {
  EXPECT_EQ(Resolve("/../../etc/./hosts"), "/etc/hosts");
  EXPECT_EQ(Resolve("/a/b/../c"), "/a/c");
  EXPECT_EQ(Resolve("/.."), "/");
}

TEST_F(RootfsPathTest, DotDotAfterALinkLeavesTheDirectoryThatItLedTo) {
  Link("/srv/deep", "data");

  EXPECT_EQ(Resolve("/data/../other"), "/srv/other");
}

TEST_F(RootfsPathTest, KeepsWhatDoesNotExistAndNormalizesSlashes) {
  EXPECT_EQ(Resolve("//no///such/thing/"), "/no/such/thing");
  EXPECT_EQ(Resolve("relative/path"), "/relative/path");
  EXPECT_EQ(Resolve(""), "/");
}

TEST_F(RootfsPathTest, FollowsALinkInLastPlace) {
  Link("/run/real", "etc/alias");

  EXPECT_EQ(Resolve("/etc/alias"), "/run/real");
}

TEST_F(RootfsPathTest, ALoopOfLinksEnds) {
  Link("/b", "a");
  Link("/a", "b");

  const std::string resolved = Resolve("/a/x");

  EXPECT_TRUE(resolved == "/a/x" || resolved == "/b/x") << resolved;
}

TEST_F(RootfsPathTest, ALinkThatGrowsWithEachStepEnds) {
  Link("a/a", "a");

  EXPECT_FALSE(Resolve("/a").empty());
}

}  // namespace
}  // namespace cryopod::criu
