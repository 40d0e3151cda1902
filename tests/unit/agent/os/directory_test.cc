#include "agent/os/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>

#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::IsOkAnd;
using test::StatusIs;
using test::WriteText;
using ::testing::HasSubstr;

mode_t ModeOf(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) ADD_FAILURE() << "lstat " << path;
  return info.st_mode & 07777u;
}

class DirectoryTest : public ::testing::Test {
 protected:
  std::filesystem::path Path(const std::string& name) { return temp_.path() / name; }

  test::TempDirectory temp_;
  UniqueFd dir_ = OpenDirectory(temp_.path()).value();
};

TEST_F(DirectoryTest, ListsByNameWithTypes) {
  WriteText(Path("b"), "");
  std::filesystem::create_directory(Path("a"));
  std::filesystem::create_symlink("b", Path("c"));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<DirectoryEntry> entries,
                               ListDirectory(temp_.path()));

  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[0].type, DT_DIR);
  EXPECT_EQ(entries[1].type, DT_REG);
  EXPECT_EQ(entries[2].type, DT_LNK);
}

TEST_F(DirectoryTest, ListingTwiceByTheSameDescriptorShowsTheSame) {
  WriteText(Path("a"), "");

  for ([[maybe_unused]] const char* time : {"first", "second"}) {
    EXPECT_THAT(ListDirectory(dir_.get()), IsOkAnd(::testing::SizeIs(1)));
  }
  EXPECT_THAT(ListDirectory(Path("absent")), StatusIs(Code::kNotFound, HasSubstr("absent")));
}

TEST_F(DirectoryTest, MakesAllThatIsMissingAndWhatExistsKeepsItsMode) {
  std::filesystem::create_directory(Path("a"));
  ASSERT_EQ(::chmod(Path("a").c_str(), 0751), 0);

  ASSERT_THAT(MakeDirectories(Path("a/b/c")), IsOk());

  EXPECT_EQ(ModeOf(Path("a")), 0751u);
  EXPECT_EQ(ModeOf(Path("a/b")), 0700u);
  EXPECT_EQ(ModeOf(Path("a/b/c")), 0700u);
  EXPECT_THAT(MakeDirectories(Path("a/b/c/")), IsOk());
}

TEST_F(DirectoryTest, AFileInTheWayIsAnError) {
  WriteText(Path("a"), "");

  EXPECT_THAT(MakeDirectories(Path("a")), StatusIs(Code::kFailedPrecondition, HasSubstr("a")));
  EXPECT_FALSE(MakeDirectories(Path("a/b")).ok());
  EXPECT_THAT(MakeDirectories(""), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(MakeDirectoryAt(dir_.get(), "a"), StatusIs(Code::kAlreadyExists, HasSubstr("a")));
}

TEST_F(DirectoryTest, RemovesATree) {
  std::filesystem::create_directories(Path("tree/a/b"));
  WriteText(Path("tree/a/file"), "x");
  std::filesystem::create_symlink("/", Path("tree/root"));
  ASSERT_EQ(::mkfifo(Path("tree/fifo").c_str(), 0600), 0);

  ASSERT_THAT(RemoveTree(Path("tree")), IsOk());

  EXPECT_FALSE(PathExists(Path("tree")));
}

TEST_F(DirectoryTest, RemovesAFileAndWhatIsAbsentIsSuccess) {
  WriteText(Path("file"), "x");

  EXPECT_THAT(RemoveTree(Path("file")), IsOk());
  EXPECT_FALSE(PathExists(Path("file")));
  EXPECT_THAT(RemoveTree(Path("absent")), IsOk());
  EXPECT_THAT(RemoveTree(Path("absent/deeper")), IsOk());
}

TEST_F(DirectoryTest, RemovingALinkLeavesItsTarget) {
  std::filesystem::create_directory(Path("target"));
  WriteText(Path("target/keep"), "x");
  std::filesystem::create_symlink("target", Path("link"));
  std::filesystem::create_directory(Path("tree"));
  std::filesystem::create_symlink("../target", Path("tree/link"));

  ASSERT_THAT(RemoveTree(Path("link")), IsOk());
  ASSERT_THAT(RemoveTree(Path("tree")), IsOk());

  EXPECT_FALSE(PathExists(Path("link")));
  EXPECT_TRUE(PathExists(Path("target/keep")));
}

TEST_F(DirectoryTest, RefusesToRemoveWhatIsNotAName) {
  for (const std::string& path : {std::string("/"), std::string(), Path("a/..").string()}) {
    EXPECT_THAT(RemoveTree(path), StatusIs(Code::kInvalidArgument)) << path;
  }
}

TEST_F(DirectoryTest, RemovesATreeDeeperThanAnyDescriptorLimit) {
  constexpr int kDepth = 1500;
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_THAT(MakeDirectoryAt(dir_.get(), "deep"), IsOk());
    CRYOPOD_ASSERT_OK_AND_ASSIGN(dir_, OpenAt(dir_.get(), "deep", O_DIRECTORY | O_RDONLY));
  }

  ASSERT_THAT(RemoveTree(Path("deep/")), IsOk());

  EXPECT_FALSE(PathExists(Path("deep")));
}

TEST_F(DirectoryTest, DoesNotCrossIntoAMount) {
  std::filesystem::create_directories(Path("tree/mounted"));
  WriteText(Path("tree/other"), "x");
  const Status mounted = MountTmpfs(Path("tree/mounted"), 1 << 20);
  if (!mounted.ok()) GTEST_SKIP() << mounted.message();
  WriteText(Path("tree/mounted/keep"), "x");

  const Status status = RemoveTree(Path("tree"));

  EXPECT_THAT(status, StatusIs(Code::kFailedPrecondition, HasSubstr("mounted")));
  EXPECT_TRUE(PathExists(Path("tree/mounted/keep")));
  EXPECT_FALSE(PathExists(Path("tree/other")));  // what can go is gone all the same
  EXPECT_THAT(UnmountAll(Path("tree/mounted")), IsOk());
  EXPECT_THAT(RemoveTree(Path("tree")), IsOk());
}

TEST_F(DirectoryTest, FilesAreAddedUpWithoutWhatLiesDeeper) {
  WriteText(Path("one"), "12345");
  WriteText(Path("two"), "678");
  std::filesystem::create_symlink("abcd", Path("link"));

  EXPECT_THAT(FilesBytes(dir_.get()), IsOkAnd(12u));
}

TEST_F(DirectoryTest, ATmpfsHasItsSizeFree) {
  std::filesystem::create_directory(Path("tmpfs"));
  const Status mounted = MountTmpfs(Path("tmpfs"), 4 << 20);
  if (!mounted.ok()) GTEST_SKIP() << mounted.message();

  const Result<uint64_t> before = FreeBytes(Path("tmpfs"));
  WriteText(Path("tmpfs/file"), std::string(1 << 20, 'x'));
  const Result<uint64_t> after = FreeBytes(Path("tmpfs"));

  EXPECT_THAT(UnmountAll(Path("tmpfs")), IsOk());
  EXPECT_THAT(before, IsOkAnd(uint64_t{4 << 20}));
  EXPECT_THAT(after, IsOkAnd(uint64_t{3 << 20}));
  EXPECT_THAT(FreeBytes(Path("absent")), StatusIs(Code::kNotFound));
}

}  // namespace
}  // namespace cryopod
