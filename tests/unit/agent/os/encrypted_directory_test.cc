#include "agent/os/encrypted_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSecret[] = "memory of a process, and nobody else's business";

void RunOk(const std::vector<std::string>& argv) {
  SpawnOptions options;
  options.argv = argv;
  options.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  const Result<CommandOutput> ran = RunCommand(options, Soon());
  ASSERT_THAT(ran, IsOk());
  ASSERT_TRUE(ran->status.success()) << ran->text;
}

// An ext4 that encrypts, in a file.
class EncryptedDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(disk()).close();
    fs::resize_file(disk(), 16 << 20);
    RunOk({"/sbin/mkfs.ext4", "-q", "-O", "encrypt", disk()});
    fs::create_directory(top());
    Mount();
    fs::create_directory(folder());
  }
  void TearDown() override { Unmount(); }
  std::string disk() const { return temp_.path() / "disk"; }
  std::string top() const { return temp_.path() / "mounted"; }
  std::string folder() const { return top() + "/staging"; }
  void Mount() const { RunOk({"/bin/mount", "-o", "loop", disk(), top()}); }
  void Unmount() const { RunOk({"/bin/umount", top()}); }

  cryopod::test::TempDirectory temp_;
};

TEST_F(EncryptedDirectoryTest, ServesLikeAnyOtherAsLongAsItsKeyIsKnown) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd directory, OpenDirectory(folder()));
  ASSERT_THAT(EncryptDirectory(directory.get()), IsOk());

  WriteText(folder() + "/pages-1.img", kSecret);

  EXPECT_EQ(ReadText(folder() + "/pages-1.img"), kSecret);
}

// As after a power cut: the kernel has forgotten.
TEST_F(EncryptedDirectoryTest, WithoutItsKeyItIsReadByNobodyAndStillRemoved) {
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd directory, OpenDirectory(folder()));
    ASSERT_THAT(EncryptDirectory(directory.get()), IsOk());
    WriteText(folder() + "/pages-1.img", kSecret);
  }
  Unmount();
  EXPECT_THAT(ReadText(disk()), Not(HasSubstr(kSecret)));
  Mount();

  EXPECT_FALSE(fs::exists(folder() + "/pages-1.img"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const auto entries, ListDirectory(folder()));
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_FALSE(OpenAt(AT_FDCWD, folder() + "/" + entries[0].name, O_RDONLY).ok());
  EXPECT_THAT(RemoveTree(folder()), IsOk());
}

TEST_F(EncryptedDirectoryTest, AKeyThatIsForgottenTakesTheContentAlong) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd directory, OpenDirectory(folder()));
  ASSERT_THAT(EncryptDirectory(directory.get()), IsOk());
  WriteText(folder() + "/pages-1.img", kSecret);

  ASSERT_THAT(ForgetKeyOf(directory.get()), IsOk());

  EXPECT_FALSE(OpenAt(AT_FDCWD, folder() + "/pages-1.img", O_RDONLY).ok());
}

TEST_F(EncryptedDirectoryTest, AFileSystemThatCannotSaysSo) {
  const UniqueFd directory = OpenDirectory("/dev/shm").value();

  EXPECT_THAT(EncryptDirectory(directory.get()), StatusIs(Code::kUnimplemented));
  EXPECT_THAT(ForgetKeyOf(directory.get()), IsOk());
}

}  // namespace
}  // namespace cryopod
