#include "agent/os/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
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
  test::TempDirectory temp_;
  UniqueFd dir_ = OpenDirectory(temp_.path()).value();
};

TEST_F(FileTest, WhatIsOpenedDoesNotSurviveExec) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Pipe pipe, MakePipe());

  for (const int fd : {dir_.get(), pipe.read_end.get(), pipe.write_end.get()}) {
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  }
}

TEST_F(FileTest, WaitingEndsWithBytesWithThePeerAndAtTheDeadline) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe pipe, MakePipe());
  const int fd = pipe.read_end.get();
  const Deadline now = Deadline::After(std::chrono::seconds(0));

  EXPECT_THAT(WaitReady(fd, POLLIN, now, "listening"),
              StatusIs(Code::kDeadlineExceeded, "listening: no answer in time"));
  ASSERT_THAT(WriteAll(pipe.write_end.get(), "x"), IsOk());
  EXPECT_THAT(WaitReady(fd, POLLIN, now, ""), IsOk());
  pipe.write_end.Reset();
  EXPECT_THAT(ReadAll(fd, 1), IsOkAnd(std::string("x")));
  EXPECT_THAT(WaitReady(fd, POLLIN, now, ""), IsOk());
  EXPECT_THAT(WaitReady(987, POLLIN, now, ""), StatusIs(Code::kFailedPrecondition));
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
  // Nor does it follow a symlink that stays inside.
  WriteText(temp_.path() / "jail/file", "text");
  std::filesystem::create_symlink("jail", temp_.path() / "link");
  EXPECT_FALSE(OpenBeneath(dir_.get(), "link/file", O_RDONLY).ok());
  EXPECT_THAT(OpenBeneath(dir_.get(), "jail/file", O_RDONLY), IsOk());
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

TEST_F(FileTest, AControlFileIsNeitherMadeNorTruncated) {
  EXPECT_THAT(WriteControlFileAt(dir_.get(), "freezer.state", "FROZEN"),
              StatusIs(Code::kNotFound, HasSubstr("freezer.state")));
  EXPECT_FALSE(std::filesystem::exists(temp_.path() / "freezer.state"));
  WriteText(temp_.path() / "control", "abcdef");

  ASSERT_THAT(WriteControlFileAt(dir_.get(), "control", "xy"), IsOk());

  EXPECT_EQ(ReadText(temp_.path() / "control"), "xycdef");
}

TEST_F(FileTest, AFullDiskIsReported) {
  EXPECT_THAT(WriteControlFileAt(AT_FDCWD, "/dev/full", "x"),
              StatusIs(Code::kResourceExhausted, HasSubstr("/dev/full")));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd full, OpenAt(AT_FDCWD, "/dev/full", O_WRONLY));

  EXPECT_THAT(WriteAll(full.get(), "x"), StatusIs(Code::kResourceExhausted));
  EXPECT_THAT(WriteAll(full.get(), ""), IsOk());
}

TEST_F(FileTest, AnAtomicWriteReplacesTheOldFileAndTheLeftoverOfABrokenOne) {
  WriteText(temp_.path() / "index.json", "old");
  WriteText(temp_.path() / "index.json.partial", "a long leftover of another writer");

  ASSERT_THAT(WriteFileAtomically(dir_.get(), "index.json", "new"), IsOk());

  EXPECT_EQ(ReadText(temp_.path() / "index.json"), "new");
  EXPECT_FALSE(std::filesystem::exists(temp_.path() / "index.json.partial"));
}

TEST_F(FileTest, AnAtomicWriteSetsTheModeWhateverTheUmaskAndIsPrivateByDefault) {
  const mode_t old_umask = ::umask(077);
  const Status shared = WriteFileAtomically(dir_.get(), "shared", "x", 0644);
  ::umask(0);
  const Status secret = WriteFileAtomically(dir_.get(), "secret", "x");
  ::umask(old_umask);

  ASSERT_THAT(shared, IsOk());
  ASSERT_THAT(secret, IsOk());
  struct stat info {};
  ASSERT_EQ(::stat((temp_.path() / "shared").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0644u);
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

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(ReadTailTest, IsTheEndOfALargeFileAndAllOfASmallOne) {
  const test::TempDirectory temp;
  const UniqueFd directory = OpenDirectory(temp.path()).value();
  WriteText(temp.path() / "log", "first line\nlast line\n");

  EXPECT_THAT(ReadTailAt(directory.get(), "log", 10), IsOkAnd("last line\n"));
  EXPECT_THAT(ReadTailAt(directory.get(), "log", 1000), IsOkAnd("first line\nlast line\n"));
  std::filesystem::resize_file(temp.path() / "log", uintmax_t{1} << 40);
  EXPECT_THAT(ReadTailAt(directory.get(), "log", 3), IsOkAnd(std::string(3, '\0')));
  EXPECT_THAT(ReadTailAt(directory.get(), "absent", 3), StatusIs(Code::kNotFound));
}

class CopyFileTest : public FileTest {
 protected:
  UniqueFd OpenSource(const std::string& name) {
    return UniqueFd(::open((temp_.path() / name).c_str(), O_RDONLY | O_CLOEXEC));
  }
  UniqueFd OpenTarget(const std::string& name) {
    return UniqueFd(::open((temp_.path() / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }
  int64_t AllocatedBytes(const std::string& name) {
    struct stat info {};
    if (::stat((temp_.path() / name).c_str(), &info) != 0) ADD_FAILURE() << "stat " << name;
    return int64_t{info.st_blocks} * 512;
  }
};

TEST_F(CopyFileTest, CopiesEveryByte) {
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes += static_cast<char>(i * 7 % 251);
  WriteText(temp_.path() / "from", bytes);

  const Result<uint64_t> copied = CopyFileBytes(OpenSource("from").get(), OpenTarget("to").get());

  EXPECT_THAT(copied, IsOkAnd(bytes.size()));
  EXPECT_EQ(ReadText(temp_.path() / "to"), bytes);
}

TEST_F(CopyFileTest, EndsWhenItMayNotGoOn) {
  WriteText(temp_.path() / "from", std::string(300'000, 'x'));
  const auto never = [] { return Status(Code::kCancelled, "given up"); };

  EXPECT_THAT(CopyFileBytes(OpenSource("from").get(), OpenTarget("to").get(), never),
              StatusIs(Code::kCancelled));

  const UniqueFd endless(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  int asked = 0;
  const auto for_a_while = [&asked] {
    return ++asked < 10 ? Status() : Status(Code::kDeadlineExceeded, "the time is over");
  };
  EXPECT_THAT(CopyFileBytes(endless.get(), OpenTarget("to").get(), for_a_while),
              StatusIs(Code::kDeadlineExceeded));
}

TEST_F(CopyFileTest, StartsAtTheOffsetAndEndsAtTheEnd) {
  WriteText(temp_.path() / "from", "0123456789");
  const UniqueFd from = OpenSource("from");
  ASSERT_EQ(::lseek(from.get(), 4, SEEK_SET), 4);
  const UniqueFd to = OpenTarget("to");
  ASSERT_THAT(WriteAll(to.get(), "ab"), IsOk());

  EXPECT_THAT(CopyFileBytes(from.get(), to.get()), IsOkAnd(uint64_t{6}));

  EXPECT_EQ(ReadText(temp_.path() / "to"), "ab456789");
  // Both stand behind what was copied.
  ASSERT_THAT(WriteAll(to.get(), "!"), IsOk());
  EXPECT_EQ(ReadText(temp_.path() / "to"), "ab456789!");
  EXPECT_EQ(::lseek(from.get(), 0, SEEK_CUR), 10);
  EXPECT_THAT(CopyFileBytes(from.get(), to.get()), IsOkAnd(uint64_t{0}));
}

TEST_F(CopyFileTest, HolesStayHoles) {
  const UniqueFd from = OpenTarget("from");
  ASSERT_EQ(::pwrite(from.get(), "start", 5, 0), 5);
  ASSERT_EQ(::pwrite(from.get(), "middle", 6, 64 * kMiB), 6);
  ASSERT_EQ(::ftruncate(from.get(), static_cast<off_t>(128 * kMiB)), 0);
  ASSERT_EQ(::lseek(from.get(), 0, SEEK_SET), 0);
  const UniqueFd to = OpenTarget("to");

  EXPECT_THAT(CopyFileBytes(from.get(), to.get()), IsOkAnd(128 * kMiB));

  struct stat info {};
  ASSERT_EQ(::fstat(to.get(), &info), 0);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), 128 * kMiB);
  EXPECT_LT(AllocatedBytes("to"), static_cast<int64_t>(kMiB));
  char bytes[6] = {};
  ASSERT_EQ(::pread(to.get(), bytes, 6, 64 * kMiB), 6);
  EXPECT_EQ(std::string(bytes, 6), "middle");
}

TEST_F(CopyFileTest, AFileThatIsAllHoleKeepsItsSize) {
  const UniqueFd from = OpenTarget("from");
  ASSERT_EQ(::ftruncate(from.get(), static_cast<off_t>(8 * kMiB)), 0);

  EXPECT_THAT(CopyFileBytes(from.get(), OpenTarget("to").get()), IsOkAnd(8 * kMiB));

  EXPECT_EQ(std::filesystem::file_size(temp_.path() / "to"), 8 * kMiB);
  EXPECT_EQ(AllocatedBytes("to"), 0);
}

TEST_F(CopyFileTest, BetweenFileSystemsTheBytesAreTheSame) {
  const std::string bytes(3 * kMiB + 17, 'q');
  const UniqueFd from(::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!from.valid()) GTEST_SKIP() << "/dev/shm takes no file";
  ASSERT_THAT(WriteAll(from.get(), bytes), IsOk());
  ASSERT_EQ(::lseek(from.get(), 0, SEEK_SET), 0);

  EXPECT_THAT(CopyFileBytes(from.get(), OpenTarget("to").get()), IsOkAnd(bytes.size()));

  EXPECT_EQ(ReadText(temp_.path() / "to"), bytes);
}

TEST_F(CopyFileTest, AFileOfProcWithoutASizeIsReadToItsEnd) {
  const UniqueFd from(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  const Result<uint64_t> copied = CopyFileBytes(from.get(), OpenTarget("to").get());

  ASSERT_THAT(copied, IsOk());
  EXPECT_GT(*copied, 100u);
  EXPECT_EQ(ReadText(temp_.path() / "to").substr(0, 5), "Name:");
}

TEST_F(CopyFileTest, APipeTakesHolesAsZeros) {
  const UniqueFd from = OpenTarget("from");
  ASSERT_EQ(::ftruncate(from.get(), 8192), 0);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe pipe, MakePipe());

  EXPECT_THAT(CopyFileBytes(from.get(), pipe.write_end.get()), IsOkAnd(uint64_t{8192}));

  pipe.write_end.Reset();
  EXPECT_THAT(ReadAll(pipe.read_end.get(), 10'000), IsOkAnd(std::string(8192, '\0')));
}

TEST_F(CopyFileTest, AnErrorOfTheTargetIsReported) {
  WriteText(temp_.path() / "from", "text");
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));

  EXPECT_THAT(CopyFileBytes(OpenSource("from").get(), full.get()),
              StatusIs(Code::kResourceExhausted));
}

}  // namespace
}  // namespace cryopod
