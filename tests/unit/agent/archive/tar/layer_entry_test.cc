#include "agent/archive/tar/layer_entry.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;
using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

LayerEntry Entry(Kind kind, const std::string& path) {
  LayerEntry entry;
  entry.kind = kind;
  entry.path = path;
  if (kind == Kind::kSymlink || kind == Kind::kHardlink) entry.link_target = "target";
  if (kind == Kind::kCharDevice) entry.device_major = 1;
  return entry;
}

TEST(CheckRelativePathTest, TakesNamesOfAnyBytes) {
  for (const std::string& path :
       {std::string("a"), std::string("a/b/c"), std::string("..a/.b"), std::string("a b\n\xff"),
        std::string(255, 'x'), std::string(255, 'x') + "/" + std::string(255, 'y')}) {
    EXPECT_THAT(CheckRelativePath(path), IsOk()) << path;
  }
}

TEST(CheckRelativePathTest, RefusesWhatLeadsElsewhereOrNowhere) {
  std::string long_path = "d";
  while (long_path.size() <= kPathBytesMax) long_path += "/d";
  for (const std::string& path :
       {std::string(), std::string("/"), std::string("/a"), std::string("a/"), std::string("a//b"),
        std::string("."), std::string(".."), std::string("./a"), std::string("a/."),
        std::string("a/.."), std::string("../a"), std::string("a/../b"), std::string("a\0b", 3),
        std::string(256, 'x'), long_path}) {
    EXPECT_THAT(CheckRelativePath(path), StatusIs(Code::kDataLoss)) << path.substr(0, 40);
  }
}

TEST(CheckFileNameTest, RefusesDirectoriesAndHiddenNames) {
  EXPECT_THAT(CheckFileName("pages-1.img"), IsOk());
  EXPECT_THAT(CheckFileName("a/b"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(CheckFileName(".hidden"), StatusIs(Code::kDataLoss));
}

TEST(CheckLayerEntryTest, TakesEveryKind) {
  for (const Kind kind :
       {Kind::kFile, Kind::kDirectory, Kind::kSymlink, Kind::kHardlink, Kind::kFifo,
        Kind::kCharDevice, Kind::kBlockDevice, Kind::kWhiteout, Kind::kOpaque}) {
    EXPECT_THAT(CheckLayerEntry(Entry(kind, "a")), IsOk()) << static_cast<int>(kind);
  }
}

TEST(CheckLayerEntryTest, RefusesFieldsThatDoNotBelong) {
  std::vector<std::pair<std::string, LayerEntry>> entries;
  const auto add = [&](const std::string& what, Kind kind, auto change) {
    LayerEntry entry = Entry(kind, "a");
    change(entry);
    entries.emplace_back(what, entry);
  };
  add("whiteout name", Kind::kFile, [](LayerEntry& e) { e.path = "d/.wh.x"; });
  add("whiteout directory", Kind::kFile, [](LayerEntry& e) { e.path = ".wh.d/x"; });
  add("hard link out", Kind::kHardlink, [](LayerEntry& e) { e.link_target = "../etc/shadow"; });
  add("absolute hard link", Kind::kHardlink, [](LayerEntry& e) { e.link_target = "/etc/shadow"; });
  add("symlink to nothing", Kind::kSymlink, [](LayerEntry& e) { e.link_target = ""; });
  add("symlink with NUL", Kind::kSymlink, [](LayerEntry& e) { e.link_target.push_back('\0'); });
  add("long symlink", Kind::kSymlink, [](LayerEntry& e) { e.link_target.assign(4096, 'x'); });
  add("file with target", Kind::kFile, [](LayerEntry& e) { e.link_target = "x"; });
  add("uid -1", Kind::kFile, [](LayerEntry& e) { e.uid = UINT32_MAX; });
  add("gid -1", Kind::kFile, [](LayerEntry& e) { e.gid = UINT32_MAX; });
  add("mode", Kind::kFile, [](LayerEntry& e) { e.mode = 0100644; });
  add("major", Kind::kBlockDevice, [](LayerEntry& e) { e.device_major = 1 << 12; });
  add("minor", Kind::kBlockDevice, [](LayerEntry& e) { e.device_minor = 1 << 20; });
  add("0:0", Kind::kCharDevice, [](LayerEntry& e) { e.device_major = 0; });
  add("directory with bytes", Kind::kDirectory, [](LayerEntry& e) { e.size_bytes = 1; });
  add("overlay xattr", Kind::kFile, [](LayerEntry& e) {
    e.xattrs = {{"trusted.overlay.redirect", "/"}};
  });
  add("user overlay xattr", Kind::kFile, [](LayerEntry& e) {
    e.xattrs = {{"user.overlay.opaque", "y"}};
  });
  add("xattr without name", Kind::kFile, [](LayerEntry& e) { e.xattrs = {{"user.", "y"}}; });
  add("xattr without space", Kind::kFile, [](LayerEntry& e) { e.xattrs = {{"user", "y"}}; });
  add("xattr with NUL", Kind::kFile, [](LayerEntry& e) {
    e.xattrs = {{std::string("user.a\0b", 8), ""}};
  });
  add("large xattr", Kind::kFile, [](LayerEntry& e) {
    e.xattrs = {{"user.a", std::string(65'537, 'x')}};
  });
  add("many xattrs", Kind::kFile, [](LayerEntry& e) {
    for (int i = 0; i < 129; ++i) e.xattrs.emplace_back("user." + std::to_string(i), "");
  });
  for (const auto& [what, entry] : entries) {
    EXPECT_THAT(CheckLayerEntry(entry), StatusIs(Code::kDataLoss)) << what;
  }
}

TEST(PathSetTest, KnowsWhatWasPutIn) {
  PathSet paths;

  EXPECT_TRUE(paths.Insert("a/b"));
  EXPECT_FALSE(paths.Insert("a/b"));
  EXPECT_TRUE(paths.Contains("a/b"));
  EXPECT_FALSE(paths.Contains("a"));
}

class LayerCheckerTest : public ::testing::Test {
 protected:
  // The status of the last entry; those before it must pass.
  static Status CheckAll(const std::vector<LayerEntry>& entries, UnpackLimits limits = {}) {
    LayerChecker checker(limits);
    for (size_t i = 0; i + 1 < entries.size(); ++i) {
      EXPECT_THAT(checker.Check(entries[i]), IsOk()) << entries[i].path;
    }
    return checker.Check(entries.back());
  }

  static LayerEntry Link(const std::string& path, const std::string& target) {
    LayerEntry link = Entry(Kind::kHardlink, path);
    link.link_target = target;
    return link;
  }
};

TEST_F(LayerCheckerTest, TakesALayerOfEverything) {
  EXPECT_THAT(
      CheckAll({Entry(Kind::kDirectory, "d"), Entry(Kind::kOpaque, "d"), Entry(Kind::kFile, "d/f"),
                Link("d/g", "d/f"), Link("h", "d/g"), Entry(Kind::kWhiteout, "d/gone"),
                Entry(Kind::kSymlink, "s"), Entry(Kind::kFile, "below/a/lower/directory")}),
      IsOk());
}

TEST_F(LayerCheckerTest, RefusesAPathThatStandsTwice) {
  for (const Kind kind : {Kind::kFile, Kind::kDirectory, Kind::kWhiteout}) {
    EXPECT_THAT(CheckAll({Entry(Kind::kFile, "a"), Entry(kind, "a")}),
                StatusIs(Code::kDataLoss, HasSubstr("twice")));
  }
  EXPECT_THAT(CheckAll({Entry(Kind::kOpaque, "d"), Entry(Kind::kOpaque, "d")}),
              StatusIs(Code::kDataLoss, HasSubstr("twice")));
}

TEST_F(LayerCheckerTest, RefusesWhatLiesBeneathALinkOrAFile) {
  for (const Kind kind : {Kind::kSymlink, Kind::kFile, Kind::kFifo, Kind::kWhiteout}) {
    EXPECT_THAT(CheckAll({Entry(kind, "a"), Entry(Kind::kFile, "a/b/c")}),
                StatusIs(Code::kDataLoss, HasSubstr("beneath")));
  }
  EXPECT_THAT(CheckAll({Entry(Kind::kSymlink, "a"), Entry(Kind::kOpaque, "a")}),
              StatusIs(Code::kDataLoss));
}

TEST_F(LayerCheckerTest, RefusesAHardLinkToWhatIsNoEarlierFile) {
  EXPECT_THAT(CheckAll({Link("a", "etc/shadow")}), StatusIs(Code::kDataLoss));
  EXPECT_THAT(CheckAll({Link("a", "a")}), StatusIs(Code::kDataLoss));
  EXPECT_THAT(CheckAll({Entry(Kind::kDirectory, "d"), Link("a", "d")}), StatusIs(Code::kDataLoss));
  EXPECT_THAT(CheckAll({Entry(Kind::kSymlink, "s"), Link("a", "s")}), StatusIs(Code::kDataLoss));
}

TEST_F(LayerCheckerTest, CountsEntries) {
  UnpackLimits limits;
  limits.entries_max = 2;

  EXPECT_THAT(CheckAll({Entry(Kind::kFile, "a"), Entry(Kind::kFile, "b")}, limits), IsOk());
  EXPECT_THAT(
      CheckAll({Entry(Kind::kFile, "a"), Entry(Kind::kFile, "b"), Entry(Kind::kFile, "c")}, limits),
      StatusIs(Code::kResourceExhausted));
}

TEST_F(LayerCheckerTest, CountsBytesWithoutOverflow) {
  UnpackLimits limits;
  limits.bytes_max = 10;
  LayerEntry six = Entry(Kind::kFile, "six");
  six.size_bytes = 6;
  LayerEntry huge = Entry(Kind::kFile, "huge");
  huge.size_bytes = UINT64_MAX - 5;

  EXPECT_THAT(CheckAll({six}, limits), IsOk());
  EXPECT_THAT(CheckAll({six, huge}, limits), StatusIs(Code::kResourceExhausted));
}

TEST_F(LayerCheckerTest, PlainFilesAreNothingElse) {
  LayerChecker checker({}, LayerChecker::Accept::kPlainFiles);

  EXPECT_THAT(checker.Check(Entry(Kind::kFile, "a.img")), IsOk());
  EXPECT_THAT(checker.Check(Entry(Kind::kDirectory, "d")), StatusIs(Code::kDataLoss));
  EXPECT_THAT(checker.Check(Entry(Kind::kFile, "d/b.img")), StatusIs(Code::kDataLoss));
  EXPECT_THAT(checker.Check(Entry(Kind::kFile, ".c.img")), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::archive
