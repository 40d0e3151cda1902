#include "agent/archive/store/oci_archive.h"

#include "agent/archive/oci/oci_json.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/manifests.h"
#include "tests/unit/agent/archive/store/foreign_tools.h"
#include "tests/unit/agent/archive/tar/tar_bytes.h"

namespace cryopod::archive::test {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ExportOciTest : public ArchiveTest {
 protected:
  std::string Exported(const Archive& archive) {
    std::string tar;
    EXPECT_THAT(ExportOciArchive(archive, SinkInto(&tar)), IsOk());
    return tar;
  }
  Result<Archive> Import(const std::string& name, const std::string& tar) {
    WriteText(temp_.path() / "import.tar", tar);
    return ImportOciArchive(*store_, name, OpenPath(temp_.path() / "import.tar", O_RDONLY).get(),
                            kUnpackProgram, Soon());
  }
  // An import that must leave nothing.
  void ExpectRefused(const std::string& tar, const std::string& what) {
    const Result<Archive> imported = Import("refused", tar);

    EXPECT_TRUE(imported.status().code() == Code::kDataLoss ||
                imported.status().code() == Code::kInvalidArgument ||
                imported.status().code() == Code::kResourceExhausted)
        << what << ": " << imported.status().message();
    EXPECT_FALSE(std::filesystem::exists(store_path() / "refused")) << what;
    EXPECT_TRUE(std::filesystem::is_empty(store_path() / ".partial")) << what;
  }
  // The files of an archive as a tar by hand.
  std::string TarOf(const std::map<std::string, std::string>& files) {
    std::string tar;
    for (const auto& [name, bytes] : files) {
      tar +=
          name.size() < 100 ? File(name, bytes) : Pax(PaxRecord("path", name)) + File("x", bytes);
    }
    return tar + End();
  }
};

TEST_F(ExportOciTest, AnExportedArchiveIsImportedAsTheSame) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one", {"app", "log"}));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive two, Import("two", Exported(one)));

  EXPECT_EQ(two.name(), "two");
  EXPECT_EQ(two.digest(), one.digest());
  EXPECT_EQ(two.checkpoint(), one.checkpoint());
  EXPECT_THAT(Open("two"), IsOk());
  EXPECT_THAT(store_->List(), IsOkAnd(ElementsAre("one", "two")));
  auto first = ReadTree(store_path() / "one" / "blobs");
  EXPECT_TRUE(first == ReadTree(store_path() / "two" / "blobs"));
}

TEST_F(ExportOciTest, TheSameArchiveGivesTheSameTar) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));

  EXPECT_TRUE(Exported(one) == Exported(one));
}

TEST_F(ExportOciTest, ADamagedBlobEndsTheExportBeforeTheEndMarker) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));
  const auto path = BlobPath("one", one.containers()[0].criu_images);
  std::string bytes = ReadText(path);
  bytes[50] = static_cast<char>(bytes[50] ^ 1);
  WriteText(path, bytes);
  std::string tar;

  EXPECT_THAT(ExportOciArchive(one, SinkInto(&tar)),
              StatusIs(Code::kDataLoss, HasSubstr(one.containers()[0].criu_images.digest)));

  EXPECT_FALSE(tar.ends_with(End()));
  ExpectRefused(tar, "half a tar");
}

TEST_F(ExportOciTest, AnErrorOfTheSinkIsReturned) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));

  EXPECT_THAT(
      ExportOciArchive(one, [](std::string_view) { return Status(Code::kCancelled, "enough"); }),
      StatusIs(Code::kCancelled, HasSubstr("enough")));
}

TEST_F(ExportOciTest, ATakenNameIsRefused) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));

  EXPECT_THAT(Import("one", Exported(one)), StatusIs(Code::kAlreadyExists));
}

TEST_F(ExportOciTest, EveryTruncationIsRefused) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));
  const std::string tar = Exported(one);
  for (size_t size = 0; size < tar.size(); size += 1 + tar.size() / 25) {
    ExpectRefused(tar.substr(0, size), "cut to " + std::to_string(size));
  }
}

TEST_F(ExportOciTest, FlippedBitsOfBlobsAreRefused) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));
  const std::string tar = Exported(one);
  for (size_t at = 3000; at < tar.size() - 2000; at += tar.size() / 25) {
    std::string damaged = tar;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);

    // Between the files lie padding and header fields that nobody uses.
    const Result<Archive> imported = Import("damaged", damaged);

    if (imported.ok()) {
      EXPECT_EQ(imported->digest(), one.digest()) << at;
      EXPECT_THAT(store_->Delete("damaged"), IsOk());
    }
  }
}

TEST_F(ExportOciTest, LayoutsThatAreNoneAreRefused) {
  ASSERT_THAT(MakeArchive("one"), IsOk());
  const auto sound = ReadTree(store_path() / "one");
  ASSERT_THAT(Import("sound", TarOf(sound)), IsOk());
  const auto changed = [&](const std::function<void(std::map<std::string, std::string>&)>& change) {
    auto files = sound;
    change(files);
    return TarOf(files);
  };
  const std::string some_blob = std::next(sound.begin(), 2)->first;

  ExpectRefused("", "nothing");
  ExpectRefused(End(), "an empty tar");
  ExpectRefused(TarOf({{"hello", "world"}}), "another tar");
  ExpectRefused(changed([](auto& f) { f.erase("index.json"); }), "no index.json");
  ExpectRefused(changed([](auto& f) { f.erase("oci-layout"); }), "no oci-layout");
  ExpectRefused(changed([&](auto& f) { f.erase(some_blob); }), "a blob less");
  ExpectRefused(changed([&](auto& f) { f[some_blob] += "x"; }), "a blob with other bytes");
  ExpectRefused(changed([](auto& f) { f["extra"] = ""; }), "an extra file");
  ExpectRefused(changed([](auto& f) { f["blobs/extra"] = ""; }), "an extra file in blobs");
  ExpectRefused(changed([](auto& f) { f["blobs/sha512/aa"] = ""; }), "another algorithm");
  ExpectRefused(changed([](auto& f) { f["../escape"] = ""; }), "a file outside");
  ExpectRefused(changed([](auto& f) { f["blobs/sha256/../../../escape"] = ""; }), "a file outside");
  ExpectRefused(
      changed([](auto& f) { f["blobs/sha256/" + DigestHex(DigestOf("stray"))] = "stray"; }),
      "a blob that nobody names");
  ExpectRefused(changed([](auto& f) { f["index.json"] = R"({"schemaVersion":2,"manifests":[]})"; }),
                "an index of nothing");
  ExpectRefused(changed([](auto& f) { f["index.json"] = "{}"; }), "no index");
  ExpectRefused(TarOf(sound).substr(0, TarOf(sound).size() - 1024) +
                    File("index.json", sound.at("index.json")) + End(),
                "index.json twice");
  ExpectRefused(Special("blobs/sha256", '2', "/tmp") + TarOf(sound), "blobs through a symlink");
  EXPECT_FALSE(std::filesystem::exists("/tmp/escape"));
}

TEST_F(ExportOciTest, AnImageOfAContainerIsNoCheckpoint) {
  const std::string manifest = R"({"schemaVersion":2,"config":{},"layers":[]})";
  const std::string index =
      R"({"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
      R"("digest":")" +
      DigestOf(manifest) + R"(","size":)" + std::to_string(manifest.size()) + "}]}";

  EXPECT_THAT(
      Import("refused", TarOf({{"oci-layout", kLayoutJson},
                               {"index.json", index},
                               {"blobs/sha256/" + DigestHex(DigestOf(manifest)), manifest}})),
      StatusIs(Code::kInvalidArgument, HasSubstr("no pod checkpoint archive")));
}

TEST_F(ExportOciTest, SkopeoReadsTheStoreAndTheTar) {
  const std::optional<std::string> skopeo = FindProgram("skopeo");
  if (!skopeo) GTEST_SKIP() << "skopeo is not installed";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one", {"app", "log"}));
  const std::string layout = "oci:" + (store_path() / "one").string() + ":one";
  const std::string copy = (temp_.path() / "copy").string();
  WriteText(temp_.path() / "one.tar", Exported(one));
  const std::string tar = "oci-archive:" + (temp_.path() / "one.tar").string() + ":one";

  const CommandOutput inspected = RunTool({*skopeo, "inspect", "--raw", layout});
  const CommandOutput copied =
      RunTool({*skopeo, "copy", "--insecure-policy", "--all", layout, "dir:" + copy});
  const CommandOutput tar_inspected = RunTool({*skopeo, "inspect", "--raw", tar});

  ASSERT_TRUE(inspected.status.success()) << inspected.text;
  EXPECT_EQ(DigestOf(inspected.text), one.digest());
  ASSERT_TRUE(copied.status.success()) << copied.text;
  // The index is written anew by skopeo, everything else is the same.
  for (const Descriptor& blob : one.blobs()) {
    if (blob.digest == one.digest()) continue;
    const bool manifest = blob.media_type == kImageManifestMediaType;
    const std::string bytes =
        ReadText(copy + "/" + DigestHex(blob.digest) + (manifest ? ".manifest.json" : ""));
    EXPECT_EQ(DigestOf(bytes), blob.digest) << blob.media_type;
  }
  ASSERT_TRUE(tar_inspected.status.success()) << tar_inspected.text;
  EXPECT_EQ(tar_inspected.text, inspected.text);
}

TEST_F(ExportOciTest, AnIndexThatLostItsArtifactTypesGetsThemBack) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one", {"app", "log"}));
  auto files = ReadTree(store_path() / "one");
  const std::string path = "blobs/sha256/" + DigestHex(one.digest());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ImageIndex index, ParseImageIndex(files[path], "index"));
  index.artifact_type.clear();
  for (Descriptor& manifest : index.manifests) manifest.artifact_type.clear();
  Descriptor stripped;
  stripped.digest = DigestOf(ToJson(index));
  stripped.size_bytes = ToJson(index).size();
  files.erase(path);
  files["blobs/sha256/" + DigestHex(stripped.digest)] = ToJson(index);
  files["index.json"] = LayoutIndexJson(stripped, "another-name");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive two, Import("two", TarOf(files)));

  EXPECT_EQ(two.digest(), one.digest());
  EXPECT_TRUE(ReadTree(store_path() / "two" / "blobs") == ReadTree(store_path() / "one" / "blobs"));
}

TEST_F(ExportOciTest, WhatSkopeoCarriedThroughItsOwnTarComesBackAsTheSame) {
  const std::optional<std::string> skopeo = FindProgram("skopeo");
  if (!skopeo) GTEST_SKIP() << "skopeo is not installed";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one", {"app", "log"}));
  const std::string tar = (temp_.path() / "skopeo.tar").string();
  const CommandOutput copied = RunTool({*skopeo, "copy", "--insecure-policy", "--all",
                                        "oci:" + (store_path() / "one").string() + ":one",
                                        "oci-archive:" + tar + ":other-name"});
  ASSERT_TRUE(copied.status.success()) << copied.text;

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive two, Import("two", ReadText(tar)));

  EXPECT_EQ(two.digest(), one.digest());
  EXPECT_THAT(two.Verify(nullptr, Soon()), IsOk());
}

}  // namespace
}  // namespace cryopod::archive::test
