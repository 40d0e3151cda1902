// The tar that CRIU calls, against GNU tar.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/criu/images/tmpfs_tar.h"
#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

namespace fs = std::filesystem;
using cryopod::test::ReadText;

const std::vector<std::string> kDumpArguments = {
    "--create",          "--gzip",        "--no-unquote",           "--no-wildcards",
    "--one-file-system", "--check-links", "--preserve-permissions", "--sparse",
    "--numeric-owner",   "--directory"};

class PackTreeTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directory(tree_); }

  // What a container's /dev holds.
  void MakeDev() {
    fs::create_directories(tree_ / "pts");
    fs::create_directories(tree_ / "shm" / "below");
    fs::create_symlink("/proc/self/fd", tree_ / "fd");
    fs::create_symlink("pts/ptmx", tree_ / "ptmx");
    std::ofstream(tree_ / "console");
    ASSERT_EQ(::mkfifo((tree_ / "fifo").c_str(), 0620), 0);
    ASSERT_EQ(::mknod((tree_ / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    ASSERT_EQ(::mknod((tree_ / "disk").c_str(), S_IFBLK | 0660, makedev(259, 70000)), 0);
    ASSERT_EQ(::chmod((tree_ / "null").c_str(), 0666), 0);
    ASSERT_EQ(::chown((tree_ / "null").c_str(), 1234, 3'000'000'000), 0);
    ASSERT_EQ(::chmod((tree_ / "shm").c_str(), 01777), 0);
  }

  static std::string Tar(const std::vector<std::string>& arguments) {
    std::string command = "tar";
    for (const std::string& argument : arguments) command += " '" + argument + "'";
    return command;
  }
  // Runs our tar as CRIU does; the exit code, and what was written stands in tar_.
  int RunTar(const std::vector<std::string>& arguments,
             const std::string& others = "/usr/bin:/bin") const {
    const std::string path = "PATH=" + std::string(CRYOPOD_TAR_DIRECTORY) + ":" + others + " ";
    return std::system(
        (path + Tar(arguments) + " >" + tar_.string() + " 2>" + errors_.string()).c_str());
  }
  // Where there is no other tar.
  int PackAlone() const { return RunTar(DumpOf(tree_), "/nowhere"); }
  std::vector<std::string> DumpOf(const fs::path& tree) const {
    std::vector<std::string> arguments = kDumpArguments;
    arguments.insert(arguments.end(), {tree, "."});
    return arguments;
  }

  // Everything that GNU tar sees in the archive, in order of names.
  std::string Listing() const { return ListingOf("cat " + tar_.string()); }
  std::string GnuListing() const { return ListingOf(Tar(DumpOf(tree_))); }
  std::string ListingOf(const std::string& command) const {
    return Shell(command + " | tar --list --verbose --gzip --numeric-owner --full-time | sort -k6");
  }
  std::string Shell(const std::string& command) const {
    const fs::path out = temp_.path() / "listing";
    EXPECT_EQ(std::system(("(" + command + ") >" + out.string()).c_str()), 0) << command;
    return ReadText(out);
  }

  cryopod::test::TempDirectory temp_;
  const fs::path tree_ = temp_.path() / "tree";
  const fs::path tar_ = temp_.path() / "out.tar.gz";
  const fs::path errors_ = temp_.path() / "errors";
};

TEST_F(PackTreeTest, AContainersDevIsWhatGnuTarMakesOfIt) {
  MakeDev();

  ASSERT_EQ(PackAlone(), 0) << ReadText(errors_);

  EXPECT_EQ(ReadText(errors_), "");
  EXPECT_EQ(Listing(), GnuListing());
  EXPECT_NE(Listing().find("259,70000"), std::string::npos);
}

TEST_F(PackTreeTest, GnuTarMakesTheSameTreeAgainAndNothingFollowsTheArchive) {
  MakeDev();
  ASSERT_EQ(PackAlone(), 0) << ReadText(errors_);
  const fs::path again = temp_.path() / "again";
  fs::create_directory(again);

  const std::string said = Shell("tar --extract --gzip --no-unquote --no-wildcards --directory " +
                                 again.string() + " <" + tar_.string() + " 2>&1");

  EXPECT_EQ(said, "");
  const std::string list = "find . -exec stat -c '%N %f %u %g %t:%T %Y' {} + | sort";
  EXPECT_EQ(Shell("cd " + again.string() + " && " + list),
            Shell("cd " + tree_.string() + " && " + list));
}

TEST_F(PackTreeTest, AnEmptyTreeIsItsTopAlone) {
  ASSERT_EQ(PackAlone(), 0) << ReadText(errors_);

  EXPECT_EQ(Listing(), GnuListing());
}

TEST_F(PackTreeTest, WhereAnotherFileSystemIsMountedTheDirectoryStaysEmpty) {
  MakeDev();
  if (::mount("tmpfs", (tree_ / "shm").c_str(), "tmpfs", 0, nullptr) != 0) {
    GTEST_SKIP() << "mounts are not allowed here";
  }
  std::ofstream(tree_ / "shm" / "large") << "somebody else's";

  const int packed = PackAlone();
  const std::string listing = Listing();
  const std::string gnu = GnuListing();
  ::umount((tree_ / "shm").c_str());

  EXPECT_EQ(packed, 0);
  EXPECT_EQ(listing, gnu);
  EXPECT_EQ(listing.find("large"), std::string::npos);
}

TEST_F(PackTreeTest, WhatIsNotSimpleIsLeftAlone) {
  const auto refuses = [this](const std::string& what) {
    EXPECT_NE(PackAlone(), 0) << what;
    EXPECT_EQ(ReadText(tar_), "") << what;
    EXPECT_EQ(ReadText(errors_), "tar: no other tar in PATH\n") << what;
    fs::remove_all(tree_);
    fs::create_directory(tree_);
  };
  std::ofstream(tree_ / "file") << "content";
  refuses("a file with content");
  std::ofstream(tree_ / "one");
  fs::create_hard_link(tree_ / "one", tree_ / "two");
  refuses("a file with two names");
  fs::create_symlink(std::string(100, 'x'), tree_ / "link");
  refuses("a symlink with a long target");
  fs::create_directory(tree_ / std::string(120, 'd'));
  refuses("a long name");
  for (int i = 0; i < 300; ++i) std::ofstream(tree_ / std::to_string(i));
  refuses("many entries");
  fs::path deep = tree_;
  for (int i = 0; i < 20; ++i) deep /= "d";
  fs::create_directories(deep);
  refuses("a deep tree");
}

TEST_F(PackTreeTest, TheRestIsLeftToTheNextTarInPath) {
  std::ofstream(tree_ / "file") << "content";

  EXPECT_EQ(RunTar(DumpOf(tree_)), 0);

  EXPECT_NE(Listing().find("./file"), std::string::npos);
  EXPECT_EQ(Shell("tar --extract --to-stdout --gzip ./file <" + tar_.string()), "content");
}

TEST_F(PackTreeTest, WhatEitherTarWritesIsWhatARestoreReads) {
  MakeDev();
  for (const bool simple : {true, false}) {
    if (!simple) std::ofstream(tree_ / "file") << "content";
    ASSERT_EQ(::setenv("TAR_OPTIONS", "--format=posix", 1), 0);  // as another tar may write
    EXPECT_EQ(RunTar(DumpOf(tree_)), 0);
    ASSERT_EQ(::unsetenv("TAR_OPTIONS"), 0);

    uint64_t entries = 0;
    const Status read =
        ReadTmpfsTar(OpenDirectory(temp_.path())->get(), tar_.filename(), [&](const TmpfsEntry&) {
          ++entries;
          return Status();
        });

    EXPECT_THAT(read, cryopod::test::IsOk());
    EXPECT_EQ(entries, simple ? 10u : 11u);
  }
}

TEST_F(PackTreeTest, UnknownArgumentsAreLeftToTheNextTarInPath) {
  std::ofstream(tree_ / "file");
  std::vector<std::string> arguments = kDumpArguments;
  arguments.insert(arguments.begin(), "--exclude=file");
  arguments.insert(arguments.end(), {tree_, "."});

  EXPECT_EQ(RunTar(arguments), 0);

  EXPECT_EQ(Listing().find("./file"), std::string::npos);
}

TEST_F(PackTreeTest, ATreeThatIsNotThereIsAnError) {
  EXPECT_NE(RunTar(DumpOf(tree_ / "nothing")), 0);

  EXPECT_NE(ReadText(errors_), "");
}

}  // namespace
}  // namespace cryopod::criu
