#include "agent/checkpoint/external_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/dump_target_fixture.h"
#include "tests/unit/agent/checkpoint/namespace_holder.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using archive::ExternalFile;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A process with files of the directory "volume" open, which stands for a volume of the container.
class ExternalFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!leaf_.valid()) GTEST_SKIP() << "cgroups need root";
    fs::create_directories(Volume() + "/folder");
    for (const char* name : {"open", "mapped", "deleted"}) {
      std::ofstream(Volume() + "/" + name) << "content";
    }
  }
  std::string Volume() const { return (temp_.path() / "volume").string(); }
  // The process that `prepare` runs in, as a container with the volume of this origin.
  DumpTarget Holding(const test::NamespaceHolder& holder, MountOrigin origin) const {
    leaf_.Enter(holder.init());
    DumpTarget target = leaf_.Target("web", holder.init());
    target.mounts = {{Volume(), "8:1", "/srv/volume", origin, "", ""}};
    target.mount_points = {"/", Volume()};
    return target;
  }
  bool OpenAll() const {
    const int open = ::open((Volume() + "/open").c_str(), O_RDONLY);
    const int mapped = ::open((Volume() + "/mapped").c_str(), O_RDONLY);
    const int deleted = ::open((Volume() + "/deleted").c_str(), O_RDONLY);
    ::unlink((Volume() + "/deleted").c_str());
    const bool is_mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, mapped, 0) != MAP_FAILED;
    ::close(mapped);
    return open >= 0 && deleted >= 0 && is_mapped && ::chdir((Volume() + "/folder").c_str()) == 0;
  }

  static std::vector<ExternalFile> Find(const DumpTarget& target) {
    return FindExternalFiles(target, LookAtProcesses(target.cgroup).value());
  }

  const test::AnyLeaf leaf_;
  const cryopod::test::TempDirectory temp_;
};

TEST_F(ExternalFilesTest, WhatIsOpenMappedOrTheWorkingDirectoryIsNamed) {
  const test::NamespaceHolder holder(CLONE_NEWPID, [this] { return OpenAll(); });
  ASSERT_TRUE(holder.ready());

  const std::vector<ExternalFile> files = Find(Holding(holder, MountOrigin::kOutside));

  EXPECT_THAT(
      files, ElementsAre(Field(&ExternalFile::path, "folder"), Field(&ExternalFile::path, "mapped"),
                         Field(&ExternalFile::path, "open")));
  EXPECT_THAT(NameExternalFiles("web", files)[2],
              HasSubstr("container web: " + Volume() + "/open (on /srv/volume of the node)"));
}

TEST_F(ExternalFilesTest, WhatIsLeftOutIsNamedLikeWhatOutlivesThePod) {
  const test::NamespaceHolder holder(CLONE_NEWPID, [this] { return OpenAll(); });
  ASSERT_TRUE(holder.ready());

  EXPECT_EQ(Find(Holding(holder, MountOrigin::kPodVolume)).size(), 3u);
}

TEST_F(ExternalFilesTest, WhatIsMadeAnewIsNot) {
  const test::NamespaceHolder holder(CLONE_NEWPID, [this] { return OpenAll(); });
  ASSERT_TRUE(holder.ready());

  EXPECT_THAT(Find(Holding(holder, MountOrigin::kRemade)), IsEmpty());
}

TEST_F(ExternalFilesTest, AFileOfAnotherMountInsideTheVolumeIsNot) {
  const test::NamespaceHolder holder(CLONE_NEWPID, [this] { return OpenAll(); });
  ASSERT_TRUE(holder.ready());
  DumpTarget target = Holding(holder, MountOrigin::kOutside);
  target.mount_points.push_back(Volume() + "/folder");

  EXPECT_EQ(Find(target).size(), 2u);
}

}  // namespace
}  // namespace cryopod::checkpoint
