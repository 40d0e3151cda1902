#include "tests/unit/agent/checkpoint/upper_copy_fixture.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kMiB = uint64_t{1} << 20;

class TreeSizeTest : public test::UpperCopyFixture {
 protected:
  TreeSize Measured() const { return MeasureTree(upper()).value(); }
  // `data` at these places of a file of `size_bytes`, holes elsewhere.
  void WriteSparse(const std::string& path, uint64_t size_bytes,
                   std::initializer_list<off_t> places, const std::string& data) const {
    const UniqueFd file = OpenAt(AT_FDCWD, Up(path), O_WRONLY | O_CREAT, 0600).value();
    ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(size_bytes)), 0);
    for (const off_t place : places) {
      ASSERT_EQ(::pwrite(file.get(), data.data(), data.size(), place),
                static_cast<ssize_t>(data.size()));
    }
  }
  // Copies into a tmpfs of just the size that was measured.
  void CopyIntoPredicted() const {
    const std::string exact = upper().parent_path() / "exact";
    ASSERT_THAT(MountTmpfs(exact, Measured().staged_bytes), IsOk());
    {
      const UniqueFd from = OpenDirectory(upper()).value();
      const UniqueFd to = OpenDirectory(exact).value();
      UpperCopy copy(from.get(), to.get());
      EXPECT_THAT(copy.CopyAhead({}), IsOk());
      EXPECT_THAT(copy.Finish({}), IsOk());
      EXPECT_EQ(MeasureTree(exact)->entries, Measured().entries);
    }
    EXPECT_THAT(UnmountAll(exact), IsOk());
  }
};

TEST_F(TreeSizeTest, AFileTakesWholePages) {
  Write("a/b/c", "12345");
  Write("d", std::string(kPageBytes + 1, 'x'));
  Write("empty", "");

  const TreeSize size = Measured();

  EXPECT_EQ(size.entries, 5u);
  EXPECT_EQ(size.staged_bytes, 3 * kPageBytes + 5 * kTmpfsEntryBytes);
  EXPECT_THAT(MeasureTree(upper() / "absent"), StatusIs(Code::kNotFound));
}

TEST_F(TreeSizeTest, AHoleTakesNothing) {
  WriteSparse("sparse", 2048 * kMiB, {static_cast<off_t>(kMiB), static_cast<off_t>(1024 * kMiB)},
              "data");
  WriteSparse("hole", 2048 * kMiB, {}, "");

  const TreeSize size = Measured();

  EXPECT_GE(size.staged_bytes, 2 * kPageBytes + 2 * kTmpfsEntryBytes);
  // A file system may keep more than a page for a few bytes.
  EXPECT_LE(size.staged_bytes, kMiB);
}

TEST_F(TreeSizeTest, AFileWithTwoNamesCountsOnce) {
  Write("one", std::string(10 * kPageBytes, 'x'));
  fs::create_hard_link(Up("one"), Up("two"));

  const TreeSize size = Measured();

  EXPECT_EQ(size.entries, 2u);
  EXPECT_EQ(size.staged_bytes, 10 * kPageBytes + 2 * kTmpfsEntryBytes);
}

TEST_F(TreeSizeTest, WhatIsNoFileTakesAnEntry) {
  MakeDirectory("directory");
  MakeWhiteout("gone");
  fs::create_symlink("anywhere", Up("short"));
  fs::create_symlink(std::string(2000, 'x'), Up("long"));
  ASSERT_EQ(::mkfifo(Up("fifo").c_str(), 0600), 0);

  const TreeSize size = Measured();

  EXPECT_EQ(size.entries, 5u);
  EXPECT_EQ(size.staged_bytes, kPageBytes + 5 * kTmpfsEntryBytes);
}

TEST_F(TreeSizeTest, ASocketIsLeftOut) {
  BindSocket("socket");

  EXPECT_EQ(Measured().entries, 0u);
}

TEST_F(TreeSizeTest, DeviceNodesAreNamedAndWhiteoutsAreNone) {
  MakeWhiteout("gone");
  MakeDirectory("dev");
  ASSERT_EQ(::mknod(Up("dev/null").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  EXPECT_THAT(Measured().device_nodes, ElementsAre("dev/null"));

  ASSERT_EQ(::mknod(Up("dev/block").c_str(), S_IFBLK | 0600, makedev(0, 0)), 0);
  EXPECT_THAT(Measured().device_nodes, SizeIs(2));
  for (int i = 0; i < 20; ++i) {
    const std::string name = "dev/more" + std::to_string(i);
    ASSERT_EQ(::mknod(Up(name).c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  }
  EXPECT_THAT(Measured().device_nodes, SizeIs(kDeviceNodesMax));
}

TEST_F(TreeSizeTest, ACopyOf50000SmallFilesFitsWhereItIsPredictedTo) {
  // Of memory, because a disk that others use takes a minute for as many.
  ASSERT_THAT(MountTmpfs(Up("many"), 512 * kMiB), IsOk());
  {
    const UniqueFd many = OpenDirectory(Up("many")).value();
    for (int i = 0; i < 50'000; ++i) {
      const UniqueFd file = OpenAt(many.get(), std::to_string(i), O_WRONLY | O_CREAT, 0600).value();
      ASSERT_EQ(::write(file.get(), "small", 5), 5);
    }
  }

  CopyIntoPredicted();

  EXPECT_THAT(UnmountAll(Up("many")), IsOk());
}

TEST_F(TreeSizeTest, ACopyOfAllKindsFitsWhereItIsPredictedTo) {
  WriteSparse("start", 8 * kMiB + 5, {static_cast<off_t>(7 * kMiB)}, std::string(100'000, 'x'));
  WriteSparse("middle", 8 * kMiB, {0, static_cast<off_t>(7 * kMiB)}, "x");
  WriteSparse("end", 8 * kMiB, {0}, std::string(kMiB, 'x'));
  WriteSparse("every", 16 * kMiB, {0, 5'000'000, 10'000'000}, std::string(70'000, 'x'));
  for (size_t i = 0; i < 300; ++i) {
    const std::string number = std::to_string(i);
    Write("size" + number, std::string(i * 31, 'x'));
    SetXattr("size" + number, "trusted.note", std::string(100, 'x'));
    fs::create_symlink(std::string(1000, 'x'), Up("link" + number));
  }

  CopyIntoPredicted();
}

}  // namespace
}  // namespace cryopod::checkpoint
