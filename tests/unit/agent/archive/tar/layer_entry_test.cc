#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

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

TEST(CheckLayerEntryTest, TakesEveryKind) {
  for (const Kind kind :
       {Kind::kFile, Kind::kDirectory, Kind::kSymlink, Kind::kHardlink, Kind::kFifo,
        Kind::kCharDevice, Kind::kBlockDevice, Kind::kWhiteout, Kind::kOpaque}) {
    EXPECT_THAT(CheckLayerEntry(Entry(kind, "a")), IsOk()) << static_cast<int>(kind);
  }
}

TEST(CheckLayerEntryTest, RefusesFieldsThatDoNotBelong) {
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 129; ++i) many.emplace_back("user." + std::to_string(i), "");
  const std::string large(65'537, 'x');
  const std::vector<std::pair<std::string, LayerEntry>> entries = {
      {"whiteout name", {.path = "d/.wh.x"}},
      {"whiteout directory", {.path = ".wh.d/x"}},
      {"hard link out", {Kind::kHardlink, "a", "../etc/shadow"}},
      {"absolute hard link", {Kind::kHardlink, "a", "/etc/shadow"}},
      {"symlink to nothing", {Kind::kSymlink, "a", ""}},
      {"symlink with NUL", {Kind::kSymlink, "a", std::string("t\0", 2)}},
      {"long symlink", {Kind::kSymlink, "a", std::string(4096, 'x')}},
      {"file with target", {Kind::kFile, "a", "x"}},
      {"uid -1", {.path = "a", .uid = UINT32_MAX}},
      {"gid -1", {.path = "a", .gid = UINT32_MAX}},
      {"mode", {.path = "a", .mode = 0100644}},
      {"major", {.kind = Kind::kBlockDevice, .path = "a", .device_major = 1 << 12}},
      {"minor", {.kind = Kind::kBlockDevice, .path = "a", .device_minor = 1 << 20}},
      {"0:0", {.kind = Kind::kCharDevice, .path = "a"}},
      {"directory with bytes", {.kind = Kind::kDirectory, .path = "a", .size_bytes = 1}},
      {"overlay xattr", {.path = "a", .xattrs = {{"trusted.overlay.redirect", "/"}}}},
      {"user overlay xattr", {.path = "a", .xattrs = {{"user.overlay.opaque", "y"}}}},
      {"xattr without name", {.path = "a", .xattrs = {{"user.", "y"}}}},
      {"xattr without space", {.path = "a", .xattrs = {{"user", "y"}}}},
      {"xattr with NUL", {.path = "a", .xattrs = {{std::string("user.a\0b", 8), ""}}}},
      {"large xattr", {.path = "a", .xattrs = {{"user.a", large}}}},
      {"many xattrs", {.path = "a", .xattrs = many}},
  };
  for (const auto& [what, entry] : entries) {
    EXPECT_THAT(CheckLayerEntry(entry), StatusIs(Code::kDataLoss)) << what;
  }
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
    return {Kind::kHardlink, path, target};
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

TEST_F(LayerCheckerTest, CountsEntriesAndBytesWithoutOverflow) {
  const UnpackLimits two{.entries_max = 2};
  const std::vector<LayerEntry> files = {{.path = "a"}, {.path = "b"}, {.path = "c"}};
  EXPECT_THAT(CheckAll({files[0], files[1]}, two), IsOk());
  EXPECT_THAT(CheckAll(files, two), StatusIs(Code::kResourceExhausted));

  const UnpackLimits ten{.bytes_max = 10};
  const LayerEntry six{.path = "six", .size_bytes = 6};
  const LayerEntry huge{.path = "huge", .size_bytes = UINT64_MAX - 5};
  EXPECT_THAT(CheckAll({six}, ten), IsOk());
  EXPECT_THAT(CheckAll({six, huge}, ten), StatusIs(Code::kResourceExhausted));
}

TEST_F(LayerCheckerTest, PlainFilesAreNothingElse) {
  LayerChecker checker({}, LayerChecker::Accept::kPlainFiles);

  EXPECT_THAT(checker.Check(Entry(Kind::kFile, "a.img")), IsOk());
  EXPECT_THAT(checker.Check(Entry(Kind::kDirectory, "d")), StatusIs(Code::kDataLoss));
  EXPECT_THAT(checker.Check(Entry(Kind::kFile, "d/b.img")), StatusIs(Code::kDataLoss));
  EXPECT_THAT(checker.Check(Entry(Kind::kFile, ".c.img")), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::archive::test
