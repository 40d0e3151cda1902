#include "agent/checkpoint/external_files.h"

#include <filesystem>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

using archive::ExternalFile;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A process with files of the directory "volume" open, which stands for a volume of the container.
class ExternalFilesTest : public test::LeafTest {
 protected:
  void SetUp() override {
    LeafTest::SetUp();
    if (IsSkipped()) return;
    std::filesystem::create_directories(Volume() + "/folder");
    for (const char* name : {"/open", "/mapped", "/deleted"}) {
      cryopod::test::WriteText(Volume() + name, "content");
    }
    holder_.emplace(CLONE_NEWPID, [this] { return OpenAll(); });
    ASSERT_TRUE(holder_->ready());
    Enter(holder_->init());
  }
  std::string Volume() const { return (temp_.path() / "volume").string(); }
  bool OpenAll() const {
    const int open = ::open((Volume() + "/open").c_str(), O_RDONLY);
    const int mapped = ::open((Volume() + "/mapped").c_str(), O_RDONLY);
    const int deleted = ::open((Volume() + "/deleted").c_str(), O_RDONLY);
    ::unlink((Volume() + "/deleted").c_str());
    const bool is_mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, mapped, 0) != MAP_FAILED;
    ::close(mapped);
    return open >= 0 && deleted >= 0 && is_mapped && ::chdir((Volume() + "/folder").c_str()) == 0;
  }
  // With the volume of this origin, and what else is mounted.
  std::vector<ExternalFile> Find(MountOrigin origin, const std::string& inside = "/") const {
    DumpTarget target = Target("web", holder_->init());
    target.mounts = {{Volume(), "/srv/volume", origin, "", ""}};
    target.mount_points = {"/", Volume(), inside};
    return FindExternalFiles(target, LookAtProcesses(target.cgroup).value());
  }

  const cryopod::test::TempDirectory temp_;
  std::optional<test::NamespaceHolder> holder_;
};

TEST_F(ExternalFilesTest, WhatIsOpenMappedOrTheWorkingDirectoryIsNamed) {
  const std::vector<ExternalFile> files = Find(MountOrigin::kOutside);

  EXPECT_THAT(
      files, ElementsAre(Field(&ExternalFile::path, "folder"), Field(&ExternalFile::path, "mapped"),
                         Field(&ExternalFile::path, "open")));
  std::vector<std::string> names;
  NameExternalFiles("web", files, names);
  EXPECT_THAT(names[2],
              HasSubstr("container web: " + Volume() + "/open (on /srv/volume of the node)"));
}

TEST_F(ExternalFilesTest, WhatIsLeftOutIsNamedLikeWhatOutlivesThePodAndWhatIsMadeAnewIsNot) {
  EXPECT_EQ(Find(MountOrigin::kPodVolume).size(), 3u);
  EXPECT_THAT(Find(MountOrigin::kRemade), IsEmpty());
}

TEST_F(ExternalFilesTest, AFileOfAnotherMountInsideTheVolumeIsNot) {
  EXPECT_EQ(Find(MountOrigin::kOutside, Volume() + "/folder").size(), 2u);
}

}  // namespace
}  // namespace cryopod::checkpoint
