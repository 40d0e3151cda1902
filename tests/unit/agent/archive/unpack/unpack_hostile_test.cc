#include <sys/stat.h>

#include "agent/archive/unpack/unpack.h"
#include "tests/unit/agent/archive/tar/tar_bytes.h"
#include "tests/unit/agent/archive/tar/upper_fixture.h"

// Archives that were made to do harm. Each is refused, and nothing outside the directory that was
// handed over has changed.

namespace cryopod::archive::test {
namespace {

struct EvilTar {
  std::string what;
  std::string bytes;  // uncompressed
};

// Refused as files and as a layer alike.
std::vector<EvilTar> TarsThatAreNeverRight() {
  const std::string long_component(256, 'n');
  const std::string long_name = std::string(120, 'a') + "/../../../escape" + std::string(1, '\0');
  const std::string negative("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0", 12);
  const std::string endless("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
  return {
      {"parent directory", File("../escape") + End()},
      {"parent directory inside", File("a/../../escape") + End()},
      {"parent directory alone", File("..") + End()},
      {"absolute", File("/tmp/escape") + End()},
      {"absolute by prefix", Header({.name = "escape", .prefix = "/tmp"}) + End()},
      {"empty component", File("a//b") + End()},
      {"dot inside", File("a/./b") + End()},
      {"no name", File("") + End()},
      {"long component", Pax(PaxRecord("path", long_component)) + File("x") + End()},
      {"pax path out", Pax(PaxRecord("path", "../escape")) + File("harmless") + End()},
      {"pax path absolute", Pax(PaxRecord("path", "/escape")) + File("harmless") + End()},
      {"global pax path out", Pax(PaxRecord("path", "../escape"), 'g') + File("../x") + End()},
      {"GNU long name out",
       Header({.name = "././@LongLink", .type = 'L', .size_bytes = long_name.size()}) +
           Padded(long_name) + File("x") + End()},
      {"the same name twice", File("twice") + File("twice") + End()},
      {"hard link out", Special("link", '1', "../../etc/passwd") + End()},
      {"hard link absolute", Special("link", '1', "/etc/passwd") + End()},
      {"hard link to itself", Special("link", '1', "link") + End()},
      {"hard link to what is not there", Special("link", '1', "etc/passwd") + End()},
      {"pax link out", File("a") + Pax(PaxRecord("linkpath", "../../etc/passwd")) +
                           Special("link", '1', "a") + End()},
      {"unknown type", Special("weird", 'Q') + File("../x") + End()},
      {"sparse, GNU 1.0",
       Pax(PaxRecord("GNU.sparse.major", "1") + PaxRecord("GNU.sparse.minor", "0") +
           PaxRecord("GNU.sparse.name", "big") +
           PaxRecord("GNU.sparse.realsize", "1000000000000")) +
           File("x", Padded("1\n0\n4\n")) + End()},
      {"sparse, GNU 0.1",
       Pax(PaxRecord("GNU.sparse.size", "1000000000000") + PaxRecord("GNU.sparse.numblocks", "1") +
           PaxRecord("GNU.sparse.map", "999999999990,4")) +
           File("x") + End()},
      {"content cut off", File("a", std::string(5000, 'a')).substr(0, 2000)},
      {"header cut off", File("a") + File("b").substr(0, 300)},
      {"no end marker", File("a")},
      {"half an end marker", File("a") + std::string(512, '\0')},
      {"bytes after the end", File("a") + End() + File("b") + End()},
      {"wrong checksum", Header({.name = "a", .wrong_checksum = true}) + End()},
      {"negative size", Header({.name = "a", .size_field = negative}) + Padded("evil") + End()},
      {"size beyond everything",
       Header({.name = "a", .size_field = endless}) + Padded("evil") + End()},
      {"pax size beyond everything",
       Pax(PaxRecord("size", "9223372036854775807")) + File("a") + End()},
      {"pax size beyond its type",
       Pax(PaxRecord("size", "99999999999999999999999")) + File("a") + End()},
      {"pax record without end", Pax("999 path=x\n") + File("a") + End()},
      {"pax record without number", Pax("path=x\n") + File("a") + End()},
      {"pax header of 2 MiB",
       Pax(PaxRecord("comment", std::string(2 << 20, 'c'))) + File("a") + End()},
      {"not a tar", std::string(10'000, 'x')},
      {"a cpio", "070701" + std::string(5000, '0')},
      {"a zip", std::string("PK\3\4", 4) + std::string(5000, '0')},
      {"nothing", ""},
  };
}

// Refused as files alone: a layer may hold these.
std::vector<EvilTar> TarsThatAreNoFiles() {
  return {
      {"symlink", Special("link", '2', "/etc/passwd") + End()},
      {"symlink and a file through it", Special("link", '2', "/tmp") + File("link/escape") + End()},
      {"symlink and a file over it", Special("link", '2', "/tmp/escape") + File("link") + End()},
      {"hard link", File("a") + Special("b", '1', "a") + End()},
      {"fifo", Special("fifo", '6') + End()},
      {"character device", Special("null", '3') + End()},
      {"block device", Header({.name = "disk", .type = '4', .major = "0000010"}) + End()},
      {"directory", Special("dir/", '5') + End()},
      {"directory without slash", Special("dir", '5') + End()},
      {"file in a directory", File("dir/a") + End()},
      {"hidden file", File(".hidden") + End()},
      {"whiteout", File(".wh.a", "") + End()},
  };
}

// Refused as a layer alone.
std::vector<EvilTar> TarsThatAreNoLayer() {
  return {
      {"a file through a symlink", Special("link", '2', "/tmp") + File("link/escape") + End()},
      {"a file through a file", File("a") + File("a/b") + End()},
      {"a file over a symlink", Special("link", '2', "/tmp/escape") + File("link") + End()},
      {"hard link to a symlink", Special("s", '2', "/etc/passwd") + Special("h", '1', "s") + End()},
      {"hard link to a later file", Special("h", '1', "f") + File("f") + End()},
      {"whiteout with content", File(".wh.a", "content") + End()},
      {"whiteout of nothing", File(".wh.", "") + End()},
      {"whiteout of a parent", File(".wh...", "") + End()},
      {"whiteout that is a directory", Special(".wh.a", '5') + End()},
      {"whiteout that is a link", Special(".wh.a", '2', "x") + End()},
      {"aufs's own", File(".wh..wh.plnk", "") + End()},
      {"a file beneath a whiteout name", File(".wh.d/f") + End()},
      {"whiteout and file", File("a") + File(".wh.a", "") + End()},
      {"the whole image made opaque", File(".wh..wh..opq", "") + End()},
      {"opaque twice", File("d/.wh..wh..opq", "") + File("d/.wh..wh..opq", "") + End()},
      {"overlay's xattr",
       Pax(PaxRecord("SCHILY.xattr.trusted.overlay.redirect", "/etc")) + File("a") + End()},
      {"overlay's whiteout device", Special("a", '3') + End()},
      {"owner of -1", Pax(PaxRecord("uid", "4294967295")) + File("a") + End()},
      {"owner beyond 32 bits", Pax(PaxRecord("uid", "4294967296")) + File("a") + End()},
      {"negative owner", Pax(PaxRecord("gid", "-1")) + File("a") + End()},
      {"symlink to nothing", Special("s", '2') + End()},
      {"symlink of 5,000 bytes",
       Pax(PaxRecord("linkpath", std::string(5000, 'l'))) + Special("s", '2', "x") + End()},
      {"xattr of 100,000 bytes",
       Pax(PaxRecord("SCHILY.xattr.user.a", std::string(100'000, 'v'))) + File("a") + End()},
  };
}

class HostileTarTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteText(temp_.path() / "canary", "sings");
    std::filesystem::create_directory(temp_.path() / "into");
  }
  void TearDown() override {
    EXPECT_EQ(ReadText(temp_.path() / "canary"), "sings");
    EXPECT_FALSE(std::filesystem::exists("/tmp/escape"));
    EXPECT_FALSE(std::filesystem::exists(temp_.path() / "escape"));
  }

  UniqueFd Blob(const std::string& bytes) {
    WriteText(temp_.path() / "blob", bytes);
    return OpenPath(temp_.path() / "blob", O_RDONLY);
  }
  UniqueFd Into() {
    std::filesystem::remove_all(temp_.path() / "into");
    std::filesystem::create_directory(temp_.path() / "into");
    return OpenPath(temp_.path() / "into");
  }

  Status Files(const std::string& blob, const UnpackLimits& limits = {}) {
    return UnpackImages(kUnpackProgram, Blob(blob).get(), Into().get(), limits, Soon());
  }
  Status Layer(const std::string& blob, const UnpackLimits& limits = {}) {
    KeepingSink sink;
    return UnpackLayer(kUnpackProgram, Blob(blob).get(), sink, limits, Soon());
  }

  static void ExpectRefused(const Status& status, const std::string& what) {
    EXPECT_TRUE(status.code() == Code::kDataLoss || status.code() == Code::kResourceExhausted)
        << what << ": " << CodeName(status.code()) << " " << status.message();
    if (status.ok()) return;
    ++refused_;
    EXPECT_EQ(status.message().find("without a report"), std::string::npos) << what;
  }

  static void TearDownTestSuite() { std::printf("hostile archives refused: %d\n", refused_); }

  TempDirectory temp_;
  static inline int refused_ = 0;
};

TEST_F(HostileTarTest, WhatIsNeverRightIsRefusedAsFilesAndAsALayer) {
  for (const EvilTar& tar : TarsThatAreNeverRight()) {
    ExpectRefused(Files(Zstd(tar.bytes)), tar.what);
    ExpectRefused(Layer(Zstd(tar.bytes)), tar.what);
  }
}

TEST_F(HostileTarTest, WhatIsNoPlainFileOrContradictsItselfIsRefused) {
  for (const EvilTar& tar : TarsThatAreNoFiles()) ExpectRefused(Files(Zstd(tar.bytes)), tar.what);
  for (const EvilTar& tar : TarsThatAreNoLayer()) ExpectRefused(Layer(Zstd(tar.bytes)), tar.what);
}

TEST_F(HostileTarTest, ANulInANameEndsItAndLeadsNowhere) {
  const std::string name = std::string("harmless\0/../../escape", 22);

  EXPECT_THAT(Files(Zstd(Pax(PaxRecord("path", name)) + File("x") + End())), IsOk());

  EXPECT_THAT(ReadTree(temp_.path() / "into"), ElementsAre(::testing::Key("harmless")));
  EXPECT_FALSE(std::filesystem::exists(temp_.path() / "escape"));
}

TEST_F(HostileTarTest, EveryTruncationOfABlobIsRefused) {
  const std::string blob = Zstd(File("a", Noise(3000, 3)) + File("b", "b") + End());
  for (size_t size = 0; size < blob.size(); size += 1 + blob.size() / 40) {
    ExpectRefused(Files(blob.substr(0, size)), "cut to " + std::to_string(size));
  }
}

TEST_F(HostileTarTest, WhatIsNoZstdIsRefused) {
  const std::string tar = File("a") + End();
  ExpectRefused(Files(tar), "not compressed");
  ExpectRefused(Files("\x1f\x8b" + tar), "gzip's magic");
  ExpectRefused(Files(Zstd(tar) + "trailing"), "trailing bytes");
  ExpectRefused(Files(std::string("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9)), "2 GiB window");
}

TEST_F(HostileTarTest, ABombEndsAtTheLimitNotAtTheDisk) {
  const UnpackLimits limits{.bytes_max = 1 << 20, .entries_max = 10};
  const std::string bomb = Zstd(File("bomb", std::string(64 << 20, '\0')) + End());
  // Zeros behind the end are read, so they too must have an end.
  const std::string tail = Zstd(File("a") + std::string(64 << 20, '\0'));

  ExpectRefused(Files(bomb, limits), "one large file");
  ExpectRefused(Layer(bomb, limits), "one large file");
  ExpectRefused(Files(tail, limits), "endless zeros");
  uint64_t bytes = 0;
  for (const auto& [name, content] : ReadTree(temp_.path() / "into")) bytes += content.size();
  EXPECT_LE(bytes, limits.bytes_max);
}

TEST_F(HostileTarTest, TooManyEntriesAreRefused) {
  std::string tar;
  for (int i = 0; i < 300; ++i) tar += File("f" + std::to_string(i), "");
  UnpackLimits limits{.entries_max = 299};

  EXPECT_THAT(Files(Zstd(tar + End()), limits), StatusIs(Code::kResourceExhausted));
  EXPECT_THAT(Layer(Zstd(tar + End()), limits), StatusIs(Code::kResourceExhausted));
  limits.entries_max = 300;
  EXPECT_THAT(Files(Zstd(tar + End()), limits), IsOk());
}

TEST_F(HostileTarTest, ModesAndOwnersOfFilesAreNotTakenOver) {
  const std::string tar = Header({.name = "setuid", .mode = "0006777", .uid = "0001750"}) + End();

  ASSERT_THAT(Files(Zstd(tar)), IsOk());

  struct stat attributes {};
  ASSERT_EQ(::stat((temp_.path() / "into/setuid").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 0600u);
  EXPECT_EQ(attributes.st_uid, ::geteuid());
}

TEST_F(HostileTarTest, BitFlipsNeverEndInAnythingButAnAnswer) {
  const std::string tar = File("a", "content of a") + Special("l", '2', "t") +
                          Pax(PaxRecord("mtime", "1.5")) + File("b") + End();
  for (size_t bit = 0; bit < 2560 * 8; bit += 97) {
    const Status status = Layer(Zstd(Flipped(tar, bit)));

    EXPECT_TRUE(status.ok() || status.code() == Code::kDataLoss ||
                status.code() == Code::kResourceExhausted)
        << bit << ": " << status.message();
  }
}

}  // namespace
}  // namespace cryopod::archive::test
