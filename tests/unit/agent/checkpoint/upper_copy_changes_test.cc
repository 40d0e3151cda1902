#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <stop_token>
#include <utility>

#include "tests/unit/agent/checkpoint/upper_copy_fixture.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;

// What the pod does between the two passes.
class UpperCopyChangesTest : public test::UpperCopyFixture {
 protected:
  void CopyAhead(const std::set<std::string>& mapped_paths = {}) {
    Settle();
    ASSERT_THAT(copy().CopyAhead(mapped_paths), IsOk());
  }
  int64_t ChangeTimeNs(const std::string& path) const {
    struct stat status {};
    EXPECT_EQ(::lstat(Up(path).c_str(), &status), 0);
    return int64_t{status.st_ctim.tv_sec} * 1'000'000'000 + status.st_ctim.tv_nsec;
  }
};

// A file that this process has mapped shared and writable, its page dirty already.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path) {
    const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    memory_ = static_cast<char*>(
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
    Store("dirty");
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { ::munmap(memory_, kBytes); }
  void Store(const char* text) { std::memcpy(memory_, text, std::strlen(text)); }

 private:
  static constexpr size_t kBytes = 4096;
  char* memory_ = nullptr;
};

TEST_F(UpperCopyChangesTest, WhatDidNotChangeIsNotReadInTheFreeze) {
  Write("big", std::string(1 << 20, 'x'));
  Write("small", "old");
  CopyAhead();

  Write("small", "newer");
  FinishAndCompare();

  EXPECT_EQ(copy().bytes(), (1u << 20) + 5u);
  EXPECT_EQ(copy().bytes_copied_frozen(), 5u);
}

TEST_F(UpperCopyChangesTest, ContentSizesOwnersModesAndXattrsAreSeen) {
  for (const char* name : {"grows", "shrinks", "owner", "mode", "xattr", "set back"}) {
    Write(name, "before");
  }
  for (const char* name : {"dir", "becomes opaque", "was opaque"}) MakeDirectory(name);
  SetXattr("was opaque", "trusted.overlay.opaque", "y");
  SetTimes("set back", 1'000'000'000, 1'000'000'000);
  CopyAhead();

  std::ofstream(Up("grows"), std::ios::app) << "3456";
  fs::resize_file(Up("shrinks"), 3);
  Write("set back", "after!");
  SetTimes("set back", 1'000'000'000, 1'000'000'000);
  ASSERT_EQ(::chown(Up("owner").c_str(), 7, 8), 0);
  ASSERT_EQ(::chmod(Up("mode").c_str(), 0400), 0);
  SetXattr("xattr", "user.note", "x");
  ASSERT_EQ(::chown(Up("dir").c_str(), 7, 8), 0);
  SetXattr("becomes opaque", "trusted.overlay.opaque", "y");
  ASSERT_EQ(::removexattr(Up("was opaque").c_str(), "trusted.overlay.opaque"), 0);
  FinishAndCompare();
}

TEST_F(UpperCopyChangesTest, AFolderThatCriuHasMadeForItsDumpIsNotThePods) {
  MakeDirectory("tmp/cr-tmpfs.before");
  Write("tmp/cr-tmpfs.a file", "x");
  CopyAhead();

  for (const char* made : {"tmp/cr-tmpfs.aB3dEf", "cr-tmpfs.000000"}) MakeDirectory(made);
  MakeDirectory("tmp/cr-tmpfs.deeper.x");
  ASSERT_THAT(copy().Finish({}), IsOk());

  EXPECT_FALSE(fs::exists(into() / "tmp/cr-tmpfs.aB3dEf"));
  EXPECT_FALSE(fs::exists(into() / "cr-tmpfs.000000"));
  for (const char* own : {"tmp/cr-tmpfs.before", "tmp/cr-tmpfs.a file", "tmp/cr-tmpfs.deeper.x"}) {
    EXPECT_TRUE(fs::exists(into() / own)) << own;
  }
}

TEST_F(UpperCopyChangesTest, WhatIsAddedAndRemovedIsSeen) {
  for (const char* name : {"a/stays", "a/vanishes", "b/only", "deep/c/d/file", "deep/stays",
                           "top/file", "times/vanishes"}) {
    Write(name, "x");
  }
  CopyAhead();

  fs::remove(Up("a/vanishes"));
  fs::remove(Up("b/only"));
  fs::remove_all(Up("deep/c"));
  fs::remove_all(Up("top"));
  Write("new/d/new", "new");
  // Removing moves the time of a directory, here and in the copy.
  fs::remove(Up("times/vanishes"));
  SetTimes("times", 1'000'000'000, 1'000'000'001);
  FinishAndCompare();
}

TEST_F(UpperCopyChangesTest, AFileChangedInTheTickOfTheFirstLookIsTakenAgain) {
  for (int i = 0; i < 200; ++i) Write("file" + std::to_string(i), "before");
  // No pause: whatever time the kernel gives the second content, it may be that of the first.
  ASSERT_THAT(copy().CopyAhead({}), IsOk());

  for (int i = 0; i < 200; ++i) {
    const UniqueFd file(::open(Up("file" + std::to_string(i)).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(file.get(), "after!", 6, 0), 6);
  }
  FinishAndCompare();

  EXPECT_EQ(copy().bytes_copied_frozen(), 200u * 6u);
}

TEST_F(UpperCopyChangesTest, AStoreThroughASharedMappingIsSeenThoughNoTimeMoves) {
  const std::set<std::string> both = {"data/mapped", "data/unmapped"};
  for (const std::string& path : both) Write(path, std::string(4096, '.'));
  MappedFile mapped(Up("data/mapped"));
  auto unmapped = std::make_unique<MappedFile>(Up("data/unmapped"));
  CopyAhead(both);
  const int64_t before_ns = ChangeTimeNs("data/mapped");

  mapped.Store("store");
  unmapped->Store("store");
  unmapped.reset();  // before the freeze, in which nobody has it mapped any more

  ASSERT_EQ(ChangeTimeNs("data/mapped"), before_ns) << "this file system shows the store anyway";
  FinishAndCompare({"data/mapped"});
}

TEST_F(UpperCopyChangesTest, AFileMappedAndDirtiedJustBeforeTheFirstLookIsTakenAgain) {
  Write("data/mapped", std::string(4096, '.'));
  Settle();
  (void)copy();
  Settle();
  // After the mappings were read for the first pass: nobody told it of this one.
  auto mapped = std::make_unique<MappedFile>(Up("data/mapped"));
  ASSERT_THAT(copy().CopyAhead({}), IsOk());

  mapped->Store("store");
  mapped.reset();
  FinishAndCompare({});
}

TEST_F(UpperCopyChangesTest, AStoreUnderOneNameOfALinkedFileIsSeenUnderAll) {
  Write("a", std::string(4096, '.'));
  fs::create_hard_link(Up("a"), Up("z"));
  MappedFile mapped(Up("z"));
  CopyAhead();

  mapped.Store("store");
  FinishAndCompare({});
}

TEST_F(UpperCopyChangesTest, DirectoriesThatMoveDoNotMixTheirFiles) {
  for (const char* name :
       {"old/sub/file", "old/other", "a/sub/file", "dir/kept", "dir/lost", "dir/sub/deep"}) {
    Write(name, "one size");
  }
  Write("b/sub/file", "the same");
  Write("b/sub/more", "only b");
  CopyAhead();

  fs::rename(Up("old"), Up("new"));
  // Two change places.
  fs::rename(Up("a"), Up("t"));
  fs::rename(Up("b"), Up("a"));
  fs::rename(Up("t"), Up("b"));
  // One is replaced by another, into which old children move back.
  fs::rename(Up("dir"), Up("replaced"));
  MakeDirectory("dir");
  fs::rename(Up("replaced/kept"), Up("dir/kept"));
  fs::rename(Up("replaced/sub"), Up("dir/sub"));
  fs::remove_all(Up("replaced"));
  FinishAndCompare();
}

TEST_F(UpperCopyChangesTest, EntriesBecomeSuchOfAnotherKind) {
  Write("was_file", "x");
  Write("was_directory/sub/file", "y");
  fs::create_symlink("was_file", Up("was_symlink"));
  MakeWhiteout("was_whiteout");
  Write("etc/becomes_whiteout", "x");
  CopyAhead();

  fs::remove(Up("was_file"));
  Write("was_file/sub/file", "z");
  fs::remove_all(Up("was_directory"));
  Write("was_directory", "now a file");
  fs::remove(Up("was_symlink"));
  MakeWhiteout("was_symlink");
  fs::remove(Up("was_whiteout"));
  Write("was_whiteout", "back");
  fs::remove(Up("etc/becomes_whiteout"));
  MakeWhiteout("etc/becomes_whiteout");
  FinishAndCompare();
}

TEST_F(UpperCopyChangesTest, HardLinksThatComeAndGoStayWhatTheyAre) {
  Write("a/file", "shared later");
  for (const std::string file : {"removed", "torn"}) {
    Write(file + "1", "shared");
    fs::create_hard_link(Up(file + "1"), Up(file + "2"));
    fs::create_hard_link(Up(file + "1"), Up(file + "3"));
  }
  CopyAhead();

  fs::create_hard_link(Up("a/file"), Up("later"));
  fs::remove(Up("removed1"));
  fs::remove(Up("removed3"));
  Write("removed3", "a file of its own");
  // A replacement must not write through to the other names.
  Write("torn.new", "another");
  fs::rename(Up("torn.new"), Up("torn2"));
  FinishAndCompare();
}

// Trees that come, change their kind and go as quickly as one thread can, until it is destroyed.
class RestlessPod {
 public:
  explicit RestlessPod(fs::path root)
      : root_(std::move(root)), thread_([this](const std::stop_token& stop) { Work(stop); }) {}
  void WaitForATurn() const {
    while (turns_ == 0) std::this_thread::yield();
  }

 private:
  void Work(const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested(); ++i, ++turns_) {
      const fs::path name = root_ / ("t" + std::to_string(i % 5));
      fs::create_directories(name / "a" / "b");
      std::ofstream(name / "c") << "x";
      fs::rename(name / "c", name / "a" / "c");
      fs::remove_all(name);
      std::ofstream(name) << "now a file";
      fs::remove(name);
      (void)::mkfifo(name.c_str(), 0600);
      fs::remove(name);
    }
  }
  const fs::path root_;
  std::atomic<int> turns_ = 0;
  std::jthread thread_;
};

TEST_F(UpperCopyChangesTest, TreesThatVanishWhileTheyAreWalkedAreNoErrorAndLeaveNothing) {
  Write("steady", "x");
  for (int i = 0; i < 40; ++i) {
    const fs::path into_path = into() / std::to_string(i);
    fs::create_directory(into_path);
    const UniqueFd from = OpenDirectory(upper()).value();
    const UniqueFd to = OpenDirectory(into_path).value();
    UpperCopy one(from.get(), to.get());
    {
      const RestlessPod pod(upper());
      pod.WaitForATurn();
      ASSERT_THAT(one.CopyAhead({}), IsOk());
    }

    ASSERT_THAT(one.Finish({}), IsOk());

    ASSERT_THAT(test::Differences(upper(), into_path), ::testing::IsEmpty());
  }
}

}  // namespace
}  // namespace cryopod::checkpoint
