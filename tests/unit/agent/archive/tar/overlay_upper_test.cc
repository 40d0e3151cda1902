#include "agent/archive/tar/overlay_upper.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/agent/archive/tar/upper_fixture.h"

namespace cryopod::archive::test {
namespace {

class OverlayUpperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!upper_.CanMakeMarks()) GTEST_SKIP() << "needs root and trusted xattrs";
  }

  Status Walk() {
    entries_.clear();
    return WalkOverlayUpper(OpenPath(upper_.path()).get(), [this](const LayerEntry& entry, int) {
      entries_.push_back(entry);
      return Status();
    });
  }

  LayerEntry Only() {
    EXPECT_THAT(Walk(), IsOk());
    EXPECT_EQ(entries_.size(), 1u);
    return entries_.empty() ? LayerEntry() : entries_[0];
  }

  UpperFixture upper_;
  std::vector<LayerEntry> entries_;
};

TEST_F(OverlayUpperTest, ParentsComeFirstAndTheOrderIsFixed) {
  upper_.Directory("b/a");
  upper_.File("b/a/z", "");
  upper_.File("b/b", "");
  upper_.File("a", "");
  upper_.File("c", "");

  ASSERT_THAT(Walk(), IsOk());

  std::vector<std::string> paths;
  for (const LayerEntry& entry : entries_) paths.push_back(entry.path);
  EXPECT_THAT(paths, ElementsAre("a", "b", "b/a", "b/a/z", "b/b", "c"));
}

TEST_F(OverlayUpperTest, DevicesOfZeroAndEmptyFilesWithTheXattrAreWhiteouts) {
  upper_.Whiteout("gone");
  upper_.File("left", "");
  upper_.Xattr("left", "trusted.overlay.whiteout", "y");

  ASSERT_THAT(Walk(), IsOk());

  EXPECT_THAT(entries_, ElementsAre(LayerEntry{.kind = Kind::kWhiteout, .path = "gone"},
                                    LayerEntry{.kind = Kind::kWhiteout, .path = "left"}));
}

TEST_F(OverlayUpperTest, AnOpaqueDirectoryIsFollowedByItsMark) {
  upper_.Directory("d");
  upper_.Xattr("d", "trusted.overlay.opaque", "y");
  upper_.File("d/new", "");

  ASSERT_THAT(Walk(), IsOk());

  ASSERT_EQ(entries_.size(), 3u);
  EXPECT_EQ(entries_[0].kind, Kind::kDirectory);
  EXPECT_EQ(entries_[1], (LayerEntry{.kind = Kind::kOpaque, .path = "d"}));
  EXPECT_EQ(entries_[2].path, "d/new");
}

TEST_F(OverlayUpperTest, ADirectoryThatHoldsXattrWhiteoutsIsNotOpaque) {
  upper_.Directory("d");
  upper_.Xattr("d", "trusted.overlay.opaque", "x");

  EXPECT_EQ(Only().kind, Kind::kDirectory);
}

TEST_F(OverlayUpperTest, OverlaysOwnXattrsAreLeftOutAndTheOthersKept) {
  upper_.File("f", "");
  upper_.Xattr("f", "trusted.overlay.origin", "handle");
  upper_.Xattr("f", "trusted.other", "kept");
  upper_.Xattr("f", "user.mine", std::string("\0\1", 2));

  EXPECT_THAT(Only().xattrs,
              ElementsAre(std::pair<std::string, std::string>("trusted.other", "kept"),
                          std::pair<std::string, std::string>("user.mine", {"\0\1", 2})));
}

TEST_F(OverlayUpperTest, HardLinksStayLinksToTheFirstName) {
  upper_.File("a", "shared");
  std::filesystem::create_hard_link(upper_ / "a", upper_ / "b");
  std::filesystem::create_hard_link(upper_ / "a", upper_ / "c");

  ASSERT_THAT(Walk(), IsOk());

  ASSERT_EQ(entries_.size(), 3u);
  EXPECT_EQ(entries_[0].kind, Kind::kFile);
  EXPECT_EQ(entries_[0].size_bytes, 6u);
  for (const size_t i : {size_t{1}, size_t{2}}) {
    EXPECT_EQ(entries_[i].kind, Kind::kHardlink);
    EXPECT_EQ(entries_[i].link_target, "a");
    EXPECT_EQ(entries_[i].size_bytes, 0u);
  }
}

TEST_F(OverlayUpperTest, OwnersModesAndTimesAreKept) {
  upper_.File("f", "x", 0600);
  ASSERT_EQ(::chown((upper_ / "f").c_str(), 1234, 4'000'000'000u), 0);
  ASSERT_EQ(::chmod((upper_ / "f").c_str(), 06711), 0);
  const timespec times[2] = {{1, 0}, {1'700'000'000, 123'456'789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (upper_ / "f").c_str(), times, 0), 0);

  const LayerEntry entry = Only();

  EXPECT_EQ(entry.uid, 1234u);
  EXPECT_EQ(entry.gid, 4'000'000'000u);
  EXPECT_EQ(entry.mode, 06711u);
  EXPECT_EQ(entry.mtime_ns, 1'700'000'000'123'456'789);
}

TEST_F(OverlayUpperTest, SymlinksAreNotFollowed) {
  std::filesystem::create_symlink("/etc/../nowhere", upper_ / "link");

  const LayerEntry entry = Only();

  EXPECT_EQ(entry.kind, Kind::kSymlink);
  EXPECT_EQ(entry.link_target, "/etc/../nowhere");
}

TEST_F(OverlayUpperTest, FifosAreKeptAndSocketsLeftOut) {
  ASSERT_EQ(::mkfifo((upper_ / "fifo").c_str(), 0600), 0);
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (upper_ / "sock").string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);

  EXPECT_EQ(Only().kind, Kind::kFifo);
}

TEST_F(OverlayUpperTest, WhatItsReaderOrOciWouldMistakeIsRefusedByPath) {
  const std::vector<std::pair<Code, std::function<void()>>> makers = {
      {Code::kFailedPrecondition,
       [&] { ASSERT_EQ(::mknod((upper_ / "odd").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0); }},
      {Code::kUnimplemented, [&] { upper_.Directory("odd/.wh.mine"); }},
      {Code::kUnimplemented,
       [&] {
         upper_.File("odd", "");
         upper_.Xattr("odd", "trusted.overlay.redirect", "/elsewhere");
       }},
      {Code::kUnimplemented,
       [&] {
         upper_.File("odd", "");
         upper_.Xattr("odd", "trusted.overlay.metacopy", "/elsewhere");
       }},
  };
  for (const auto& [code, make] : makers) {
    make();

    EXPECT_THAT(Walk(), StatusIs(code, HasSubstr("\"odd")));

    std::filesystem::remove_all(upper_ / "odd");
  }
}

TEST_F(OverlayUpperTest, AnErrorOfTheSinkEndsTheWalk) {
  upper_.File("a", "");
  upper_.File("b", "");
  int calls = 0;

  const UpperSink sink = [&](const LayerEntry&, int) {
    ++calls;
    return Status(Code::kResourceExhausted, "full");
  };

  EXPECT_THAT(WalkOverlayUpper(OpenPath(upper_.path()).get(), sink),
              StatusIs(Code::kResourceExhausted));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace cryopod::archive::test
