#include "agent/os/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::IsOkAnd;
using test::ReadText;
using test::StatusIs;
using test::WriteText;
using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  FileTest() : dir_(::open(temp_.path().c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC)) {}

  test::TempDirectory temp_;
  UniqueFd dir_;
};

TEST_F(FileTest, AnOpenedFileDoesNotSurviveExec) {
  WriteText(temp_.path() / "a", "text");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd file, OpenAt(dir_.get(), "a", O_RDONLY));

  EXPECT_EQ(::fcntl(file.get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(FileTest, AMissingFileIsNotFoundByName) {
  EXPECT_THAT(OpenAt(dir_.get(), "absent", O_RDONLY),
              StatusIs(Code::kNotFound, HasSubstr("absent")));
  EXPECT_THAT(ReadFile("/nowhere/at/all"), StatusIs(Code::kNotFound, HasSubstr("/nowhere/at/all")));
}

TEST_F(FileTest, AFileIsNoDirectory) {
  WriteText(temp_.path() / "a", "text");

  EXPECT_THAT(OpenDirectory(temp_.path() / "a"), StatusIs(Code::kFailedPrecondition));
  EXPECT_THAT(OpenDirectory(temp_.path()), IsOk());
}

TEST_F(FileTest, BeneathRefusesEveryWayOut) {
  std::filesystem::create_directory(temp_.path() / "jail");
  WriteText(temp_.path() / "secret", "text");
  std::filesystem::create_symlink("../secret", temp_.path() / "jail/relative");
  std::filesystem::create_symlink("/etc/passwd", temp_.path() / "jail/absolute");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd jail, OpenDirectory(temp_.path() / "jail"));

  EXPECT_FALSE(OpenBeneath(jail.get(), "../secret", O_RDONLY).ok());
  EXPECT_FALSE(OpenBeneath(jail.get(), "/etc/passwd", O_RDONLY).ok());
  EXPECT_THAT(OpenBeneath(jail.get(), "relative", O_RDONLY), StatusIs(Code::kFailedPrecondition));
  EXPECT_THAT(OpenBeneath(jail.get(), "absolute", O_RDONLY), StatusIs(Code::kFailedPrecondition));
}

TEST_F(FileTest, BeneathFollowsNoSymlinkThatStaysInside) {
  std::filesystem::create_directory(temp_.path() / "real");
  WriteText(temp_.path() / "real/file", "text");
  std::filesystem::create_symlink("real", temp_.path() / "link");

  EXPECT_FALSE(OpenBeneath(dir_.get(), "link/file", O_RDONLY).ok());
  EXPECT_THAT(OpenBeneath(dir_.get(), "real/file", O_RDONLY), IsOk());
}

TEST_F(FileTest, BeneathCrossesMountsOnlyWhenAsked) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd root, OpenDirectory("/"));

  EXPECT_THAT(OpenBeneath(root.get(), "proc/self", O_PATH | O_NOFOLLOW),
              StatusIs(Code::kFailedPrecondition));
  EXPECT_THAT(OpenBeneath(root.get(), "proc/version", O_RDONLY, 0, true), IsOk());
}

TEST_F(FileTest, BeneathMakesAFileWithItsMode) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd file,
                               OpenBeneath(dir_.get(), "new", O_WRONLY | O_CREAT | O_EXCL, 0600));

  struct stat info {};
  ASSERT_EQ(::fstat(file.get(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  // A mode without O_CREAT is no error, though openat2 itself says so.
  EXPECT_THAT(OpenBeneath(dir_.get(), "new", O_RDONLY, 0600), IsOk());
}

TEST_F(FileTest, ReadsBytesAsTheyAre) {
  std::string bytes(100'000, 'x');
  bytes[5] = '\0';
  WriteText(temp_.path() / "a", bytes);

  EXPECT_THAT(ReadFileAt(dir_.get(), "a"), IsOkAnd(bytes));
}

TEST_F(FileTest, ReadingStopsAtTheLimit) {
  WriteText(temp_.path() / "a", "12345");

  EXPECT_THAT(ReadFileAt(dir_.get(), "a", 5), IsOkAnd(std::string("12345")));
  EXPECT_THAT(ReadFileAt(dir_.get(), "a", 4), StatusIs(Code::kResourceExhausted, HasSubstr("a")));
  EXPECT_THAT(ReadFile("/dev/zero", 1 << 16), StatusIs(Code::kResourceExhausted));
}

TEST_F(FileTest, AControlFileIsNeverMade) {
  EXPECT_THAT(WriteControlFileAt(dir_.get(), "freezer.state", "FROZEN"),
              StatusIs(Code::kNotFound, HasSubstr("freezer.state")));
  EXPECT_FALSE(std::filesystem::exists(temp_.path() / "freezer.state"));
}

TEST_F(FileTest, AControlFileIsNotTruncated) {
  WriteText(temp_.path() / "control", "abcdef");

  ASSERT_THAT(WriteControlFileAt(dir_.get(), "control", "xy"), IsOk());

  EXPECT_EQ(ReadText(temp_.path() / "control"), "xycdef");
}

TEST_F(FileTest, AWriteThatFailsNamesTheFile) {
  EXPECT_THAT(WriteControlFileAt(AT_FDCWD, "/dev/full", "x"),
              StatusIs(Code::kResourceExhausted, HasSubstr("/dev/full")));
}

TEST_F(FileTest, WriteAllReportsAFullDisk) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd full, OpenAt(AT_FDCWD, "/dev/full", O_WRONLY));

  EXPECT_THAT(WriteAll(full.get(), "x"), StatusIs(Code::kResourceExhausted));
  EXPECT_THAT(WriteAll(full.get(), ""), IsOk());
}

TEST_F(FileTest, AnAtomicWriteReplacesTheOldFileAndLeavesNothingElse) {
  WriteText(temp_.path() / "index.json", "old");

  ASSERT_THAT(WriteFileAtomically(dir_.get(), "index.json", "new"), IsOk());

  EXPECT_EQ(ReadText(temp_.path() / "index.json"), "new");
  EXPECT_FALSE(std::filesystem::exists(temp_.path() / "index.json.partial"));
}

TEST_F(FileTest, AnAtomicWriteSetsTheModeWhateverTheUmask) {
  const mode_t old_umask = ::umask(077);

  const Status status = WriteFileAtomically(dir_.get(), "shared", "x", 0644);

  ::umask(old_umask);
  ASSERT_THAT(status, IsOk());
  struct stat info {};
  ASSERT_EQ(::stat((temp_.path() / "shared").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0644u);
}

TEST_F(FileTest, AnAtomicWriteIsPrivateByDefault) {
  ASSERT_THAT(WriteFileAtomically(dir_.get(), "secret", "x"), IsOk());

  struct stat info {};
  ASSERT_EQ(::stat((temp_.path() / "secret").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(FileTest, AFailedAtomicWriteLeavesTheOldFile) {
  WriteText(temp_.path() / "index.json", "old");
  // A directory in the temporary file's place makes the next write fail.
  std::filesystem::create_directory(temp_.path() / "index.json.partial");

  EXPECT_FALSE(WriteFileAtomically(dir_.get(), "index.json", "new").ok());

  EXPECT_EQ(ReadText(temp_.path() / "index.json"), "old");
}

TEST_F(FileTest, TheLeftoverOfABrokenWriteIsOverwritten) {
  WriteText(temp_.path() / "index.json.partial", "a long leftover of another writer");

  ASSERT_THAT(WriteFileAtomically(dir_.get(), "index.json", "new"), IsOk());

  EXPECT_EQ(ReadText(temp_.path() / "index.json"), "new");
}

TEST_F(FileTest, AnAtomicWriteDoesNotFollowALinkThatWaitsForIt) {
  WriteText(temp_.path() / "victim", "keep");
  std::filesystem::create_symlink("victim", temp_.path() / "index.json.partial");

  EXPECT_FALSE(WriteFileAtomically(dir_.get(), "index.json", "new").ok());

  EXPECT_EQ(ReadText(temp_.path() / "victim"), "keep");
}

TEST_F(FileTest, SyncNamesWhatItCannotSync) {
  EXPECT_THAT(Sync(dir_.get(), "store"), IsOk());
  EXPECT_THAT(Sync(-1, "store"), StatusIs(Code::kFailedPrecondition, HasSubstr("store")));
}

TEST_F(FileTest, ADanglingLinkExists) {
  std::filesystem::create_symlink("nowhere", temp_.path() / "link");

  EXPECT_TRUE(PathExists(temp_.path() / "link"));
  EXPECT_FALSE(PathExists(temp_.path() / "absent"));
}

}  // namespace
}  // namespace cryopod
