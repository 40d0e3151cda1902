#include "agent/checkpoint/upper_copy.h"

#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "tests/unit/agent/checkpoint/upper_copy_fixture.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// What a copy keeps of an entry, each tried by both passes alone.
class UpperCopyTest : public test::UpperCopyFixture {
 protected:
  // As it stands, all at once while the pod is frozen; then once more over an old copy.
  void CopyFrozenOnly() {
    ASSERT_THAT(copy().Finish({}), IsOk());
    ExpectFaithful();
  }
  void CopyAheadOnly() {
    Settle();
    ASSERT_THAT(copy().CopyAhead({}), IsOk());
    ExpectFaithful();
  }
};

TEST_F(UpperCopyTest, AnEmptyLayerIsAnEmptyCopy) {
  CopyAheadOnly();
  FinishAndCompare();

  EXPECT_EQ(copy().bytes(), 0u);
}

TEST_F(UpperCopyTest, FilesKeepContentOwnerModeAndTimes) {
  Write("etc/passwd", "root");
  ASSERT_EQ(::chown(Up("etc/passwd").c_str(), 1000, 1001), 0);
  ASSERT_EQ(::chmod(Up("etc/passwd").c_str(), 0641), 0);
  const timespec times[2] = {{1'000'000'000, 5}, {1'100'000'000, 123'456'789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, Up("etc/passwd").c_str(), times, 0), 0);

  CopyAheadOnly();
  FinishAndCompare();

  struct stat status {};
  ASSERT_EQ(::stat((into() / "etc/passwd").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 1000u);
  EXPECT_EQ(status.st_gid, 1001u);
  EXPECT_EQ(status.st_mode & 07777, 0641u);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'100'000'000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(copy().bytes(), 4u);
}

TEST_F(UpperCopyTest, SetIdBitsSurviveTheChangeOfOwner) {
  Write("bin/su", "program");
  ASSERT_EQ(::chown(Up("bin/su").c_str(), 1000, 1000), 0);
  ASSERT_EQ(::chmod(Up("bin/su").c_str(), 06755), 0);

  CopyFrozenOnly();

  struct stat status {};
  ASSERT_EQ(::stat((into() / "bin/su").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 06755u);
}

TEST_F(UpperCopyTest, FileCapabilitiesSurviveTheChangeOfOwner) {
  Write("bin/ping", "program");
  ASSERT_EQ(::chown(Up("bin/ping").c_str(), 1000, 1000), 0);
  vfs_cap_data capabilities{};
  capabilities.magic_etc = VFS_CAP_REVISION_2;
  capabilities.data[0].permitted = 1u << CAP_NET_RAW;
  SetXattr("bin/ping", "security.capability",
           std::string(reinterpret_cast<const char*>(&capabilities), sizeof capabilities));

  CopyFrozenOnly();

  EXPECT_GT(::getxattr((into() / "bin/ping").c_str(), "security.capability", nullptr, 0), 0);
}

TEST_F(UpperCopyTest, DirectoriesKeepOwnerModeAndTimesAlsoWhenNobodyMayWriteThem) {
  Write("srv/data/file", "x");
  ASSERT_EQ(::chown(Up("srv/data").c_str(), 33, 33), 0);
  ASSERT_EQ(::chmod(Up("srv/data").c_str(), 01555), 0);
  const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'001, 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, Up("srv/data").c_str(), times, 0), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, Up("srv").c_str(), times, 0), 0);

  CopyAheadOnly();
  FinishAndCompare();
}

TEST_F(UpperCopyTest, WhiteoutsStayCharacterDevicesZeroZero) {
  MakeDirectory("usr/share");
  MakeWhiteout("usr/share/doc");

  CopyAheadOnly();
  FinishAndCompare();

  struct stat status {};
  ASSERT_EQ(::lstat((into() / "usr/share/doc").c_str(), &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  EXPECT_EQ(status.st_rdev, makedev(0, 0));
}

TEST_F(UpperCopyTest, OpaqueDirectoriesStayOpaque) {
  MakeDirectory("var/cache");
  SetXattr("var/cache", "trusted.overlay.opaque", "y");

  CopyAheadOnly();
  FinishAndCompare();

  char value = 0;
  ASSERT_EQ(::getxattr((into() / "var/cache").c_str(), "trusted.overlay.opaque", &value, 1), 1);
  EXPECT_EQ(value, 'y');
}

TEST_F(UpperCopyTest, ADirectoryThatBecameOpaqueOrCeasedToBeSoIsSeen) {
  MakeDirectory("a");
  MakeDirectory("b");
  SetXattr("b", "trusted.overlay.opaque", "y");
  CopyAheadOnly();

  SetXattr("a", "trusted.overlay.opaque", "y");
  ASSERT_EQ(::removexattr(Up("b").c_str(), "trusted.overlay.opaque"), 0);
  FinishAndCompare();

  EXPECT_EQ(::getxattr((into() / "a").c_str(), "trusted.overlay.opaque", nullptr, 0), 1);
  EXPECT_LT(::getxattr((into() / "b").c_str(), "trusted.overlay.opaque", nullptr, 0), 0);
}

TEST_F(UpperCopyTest, HardLinksStayLinksAcrossDirectories) {
  Write("a/first", "shared");
  MakeDirectory("b/c");
  std::filesystem::create_hard_link(Up("a/first"), Up("b/c/second"));
  std::filesystem::create_hard_link(Up("a/first"), Up("third"));

  CopyAheadOnly();
  FinishAndCompare();

  struct stat first {};
  struct stat third {};
  ASSERT_EQ(::stat((into() / "a/first").c_str(), &first), 0);
  ASSERT_EQ(::stat((into() / "third").c_str(), &third), 0);
  EXPECT_EQ(first.st_ino, third.st_ino);
  EXPECT_EQ(first.st_nlink, 3u);
}

TEST_F(UpperCopyTest, SymlinksAreNeitherFollowedNorResolved) {
  std::filesystem::create_symlink("/etc/passwd", Up("absolute"));
  std::filesystem::create_symlink("../../nowhere", Up("broken"));
  MakeDirectory("directory");
  std::filesystem::create_directory_symlink("directory", Up("to_directory"));
  std::filesystem::create_symlink(std::string(4000, 'x'), Up("long"));
  ASSERT_EQ(::lchown(Up("absolute").c_str(), 1000, 1000), 0);
  SetXattr("broken", "trusted.note", "of a symlink");

  CopyAheadOnly();
  FinishAndCompare();

  EXPECT_EQ(std::filesystem::read_symlink(into() / "absolute"), "/etc/passwd");
}

TEST_F(UpperCopyTest, FifosAreMadeAnewWithTheirXattrs) {
  ASSERT_EQ(::mkfifo(Up("fifo").c_str(), 0620), 0);
  SetXattr("fifo", "trusted.note", "of a fifo");

  CopyAheadOnly();
  FinishAndCompare();
}

TEST_F(UpperCopyTest, ADeviceNodeThatHasComeSinceIsRefusedByName) {
  CopyAheadOnly();
  MakeDirectory("dev");
  ASSERT_EQ(::mknod(Up("dev/loop").c_str(), S_IFBLK | 0660, makedev(7, 0)), 0);

  EXPECT_THAT(copy().Finish({}), StatusIs(Code::kFailedPrecondition, HasSubstr("dev/loop")));
}

TEST_F(UpperCopyTest, SocketsAreLeftOut) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MakeDirectory("run");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, Up("run/socket").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  Write("run/pid", "1");

  CopyAheadOnly();
  FinishAndCompare();

  EXPECT_FALSE(std::filesystem::exists(into() / "run/socket"));
  EXPECT_TRUE(std::filesystem::exists(into() / "run/pid"));
}

TEST_F(UpperCopyTest, XattrsOfFilesAndDirectoriesAreKept) {
  Write("file", "x");
  MakeDirectory("directory");
  SetXattr("file", "user.note", "a value with \n in it");
  SetXattr("file", "user.empty", "");
  SetXattr("file", "trusted.overlay.origin", "of no use, but no harm");
  SetXattr("directory", "user.note", "another");

  CopyAheadOnly();
  FinishAndCompare();
}

TEST_F(UpperCopyTest, SparseFilesStaySparse) {
  constexpr off_t kSizeBytes = 32 << 20;
  Write("sparse", "head");
  ASSERT_EQ(::truncate(Up("sparse").c_str(), kSizeBytes), 0);
  const UniqueFd file(::open(Up("sparse").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::pwrite(file.get(), "tail", 4, kSizeBytes - 4), 4);

  CopyAheadOnly();
  FinishAndCompare();

  struct stat status {};
  ASSERT_EQ(::stat((into() / "sparse").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, kSizeBytes);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
  EXPECT_EQ(copy().bytes(), static_cast<uint64_t>(kSizeBytes));
}

TEST_F(UpperCopyTest, RedirectedDirectoriesAreRefusedByName) {
  MakeDirectory("srv/moved");
  SetXattr("srv/moved", "trusted.overlay.redirect", "/srv/old");

  EXPECT_THAT(copy().Finish({}),
              StatusIs(Code::kUnimplemented,
                       AllOf(HasSubstr("trusted.overlay.redirect"), HasSubstr("srv/moved"))));
}

TEST_F(UpperCopyTest, MetacopyFilesAreRefusedByName) {
  Write("srv/only_metadata", "");
  SetXattr("srv/only_metadata", "trusted.overlay.metacopy", "");

  EXPECT_THAT(copy().Finish({}),
              StatusIs(Code::kUnimplemented, AllOf(HasSubstr("trusted.overlay.metacopy"),
                                                   HasSubstr("srv/only_metadata"))));
}

TEST_F(UpperCopyTest, AFullStagingAreaIsAnErrorThatNamesTheFile) {
  Write("big", std::string(size_t{65} << 20, 'x'));

  EXPECT_THAT(copy().Finish({}), StatusIs(Code::kResourceExhausted, HasSubstr("big")));
}

}  // namespace
}  // namespace cryopod::checkpoint
