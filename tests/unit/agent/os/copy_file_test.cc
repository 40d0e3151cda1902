#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <thread>

#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::IsOkAnd;
using test::ReadText;
using test::WriteText;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class CopyFileTest : public ::testing::Test {
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

  test::TempDirectory temp_;
};

TEST_F(CopyFileTest, CopiesEveryByte) {
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes += static_cast<char>(i * 7 % 251);
  WriteText(temp_.path() / "from", bytes);

  const Result<uint64_t> copied = CopyFileBytes(OpenSource("from").get(), OpenTarget("to").get());

  EXPECT_THAT(copied, IsOkAnd(bytes.size()));
  EXPECT_EQ(ReadText(temp_.path() / "to"), bytes);
}

TEST_F(CopyFileTest, StartsAtTheOffset) {
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
}

TEST_F(CopyFileTest, AtTheEndThereIsNothingToCopy) {
  WriteText(temp_.path() / "from", "0123");
  const UniqueFd from = OpenSource("from");
  ASSERT_EQ(::lseek(from.get(), 0, SEEK_END), 4);

  EXPECT_THAT(CopyFileBytes(from.get(), OpenTarget("to").get()), IsOkAnd(uint64_t{0}));
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
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  EXPECT_THAT(CopyFileBytes(from.get(), write_end.get()), IsOkAnd(uint64_t{8192}));

  write_end.Reset();
  EXPECT_THAT(ReadAll(read_end.get(), 10'000), IsOkAnd(std::string(8192, '\0')));
}

TEST_F(CopyFileTest, AnErrorOfTheTargetIsReported) {
  WriteText(temp_.path() / "from", "text");
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));

  EXPECT_THAT(CopyFileBytes(OpenSource("from").get(), full.get()),
              test::StatusIs(Code::kResourceExhausted));
}

}  // namespace
}  // namespace cryopod
