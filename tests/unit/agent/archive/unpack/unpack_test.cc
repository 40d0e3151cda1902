#include "agent/archive/unpack/unpack.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/agent/archive/tar/upper_fixture.h"

namespace cryopod::archive::test {
namespace {

class UnpackTest : public ArchiveTest {
 protected:
  void SetUp() override {
    ArchiveTest::SetUp();
    std::filesystem::create_directory(into_path());
  }
  std::filesystem::path into_path() const { return temp_.path() / "into"; }

  // A blob of these files, opened.
  UniqueFd Packed(const std::map<std::string, std::string>& files) {
    std::filesystem::remove_all(temp_.path() / "files");
    WriteFiles(temp_.path() / "files", files);
    Result<ArchiveWriter> writer = store_->Create("packing");
    EXPECT_THAT(writer, IsOk());
    return Kept(writer->PackFiles(OpenPath(temp_.path() / "files").get(), kCriuImagesLayerMediaType,
                                  nullptr));
  }
  Status Unpack(const std::map<std::string, std::string>& files, const UnpackLimits& limits = {}) {
    return UnpackImages(kUnpackProgram, Packed(files).get(), OpenPath(into_path()).get(), limits,
                        Soon());
  }
  static uid_t OwnerOf(const std::filesystem::path& path) {
    struct stat attributes {};
    EXPECT_EQ(::lstat(path.c_str(), &attributes), 0);
    return attributes.st_uid;
  }
  UniqueFd PackedUpper(const std::filesystem::path& upper) {
    Result<ArchiveWriter> writer = store_->Create("packing");
    EXPECT_THAT(writer, IsOk());
    return Kept(writer->PackOverlayUpper(OpenPath(upper).get(), nullptr));
  }
  // The open file outlives the writer that removes it.
  UniqueFd Kept(const Result<Descriptor>& blob) {
    EXPECT_THAT(blob, IsOk());
    if (!blob.ok()) return UniqueFd();
    return OpenPath(BlobPath(".partial/packing", *blob), O_RDONLY);
  }
};

TEST_F(UnpackTest, FilesComeBackAsTheyWere) {
  std::map<std::string, std::string> files = SampleImages("app");
  files["empty.img"] = "";
  files["zeros.img"] = std::string(3'000'000, '\0');
  files[std::string(200, 'n') + ".img"] = "long name";
  files["gr\xc3\xbc\xc3\x9f.img"] = "not ASCII";

  EXPECT_THAT(Unpack(files), IsOk());

  EXPECT_TRUE(ReadTree(into_path()) == files);
  for (const auto& entry : std::filesystem::directory_iterator(into_path())) {
    EXPECT_EQ(entry.status().permissions(), std::filesystem::perms(0600)) << entry.path();
    EXPECT_EQ(OwnerOf(entry.path()), ::geteuid()) << entry.path();
  }
  EXPECT_EQ(OwnerOf(into_path()), ::geteuid());
}

TEST_F(UnpackTest, DocumentsOfARequestComeBackWrittenAnewAndNothingElse) {
  KeepingSink sink;
  const UniqueFd blob =
      Packed({{"pod.dump", "{ \"b\":[1, -2,\n18446744073709551615],\"a\":\"\\u00fc\"}"},
              {"container-config.json", "{}"},
              {"config.dump", "{}"},
              {"dump.log", "words"}});

  ASSERT_THAT(UnpackDocumentsTo(kUnpackProgram, blob.get(), sink, {}, Soon()), IsOk());

  EXPECT_THAT(sink.contents,
              (std::map<std::string, std::string>{
                  {"pod.dump", "{\"a\":\"\xc3\xbc\",\"b\":[1,-2,18446744073709551615]}"},
                  {"container-config.json", "{}"}}));
}

TEST_F(UnpackTest, ADocumentThatIsNoneIsRefusedBeforeWeSeeAByteOfIt) {
  const std::string deep = "{\"a\":" + std::string(100'000, '[');
  for (const std::string& document :
       {std::string(), std::string("[]"), std::string("{"), deep, std::string(R"({"a":1,"a":2})"),
        std::string("{\"a\":\"\xff\"}"), "{\"a\":\"" + std::string(5u << 20, 'x') + "\"}"}) {
    KeepingSink sink;

    EXPECT_THAT(
        UnpackDocumentsTo(kUnpackProgram, Packed({{"pod.dump", document}}).get(), sink, {}, Soon()),
        StatusIs(Code::kDataLoss, HasSubstr("pod.dump")))
        << document.substr(0, 20);

    EXPECT_THAT(sink.paths, IsEmpty());
  }
}

TEST_F(UnpackTest, NoFilesAreNoFiles) {
  EXPECT_THAT(Unpack({}), IsOk());

  EXPECT_TRUE(std::filesystem::is_empty(into_path()));
}

TEST_F(UnpackTest, OnlyAnEmptyDirectoryIsUnpackedInto) {
  WriteText(into_path() / "old", "");

  EXPECT_THAT(Unpack({}), StatusIs(Code::kInvalidArgument));
}

TEST_F(UnpackTest, FilesCanBeHadWithoutADirectory) {
  const std::map<std::string, std::string> files = SampleImages("app");
  KeepingSink sink;

  EXPECT_THAT(UnpackFilesTo(kUnpackProgram, Packed(files).get(), sink, {}, Soon()), IsOk());

  EXPECT_TRUE(sink.contents == files);
}

TEST_F(UnpackTest, AnErrorOfTheSinkAndContentThatItLeftAreErrors) {
  struct FixedSink : public LayerSink {
    Status Apply(const LayerEntry&, const Content&) override { return answer; }
    Status answer;
  } sink;
  EXPECT_THAT(UnpackFilesTo(kUnpackProgram, Packed({{"a", "1"}}).get(), sink, {}, Soon()),
              StatusIs(Code::kInternal));

  sink.answer = Status(Code::kPermissionDenied, "not here");
  EXPECT_THAT(UnpackFilesTo(kUnpackProgram, Packed({{"a", "1"}}).get(), sink, {}, Soon()),
              StatusIs(Code::kPermissionDenied, HasSubstr("not here")));
}

TEST_F(UnpackTest, AWritableLayerComesBackAsItWas) {
  UpperFixture upper;
  if (!upper.CanMakeMarks()) GTEST_SKIP() << "needs root and trusted xattrs";
  upper.Directory("etc", 0751);
  upper.File("etc/passwd", "root:x:0:0", 0640);
  upper.Whiteout("etc/shadow");
  upper.Directory("var/cache", 01777);
  upper.Xattr("var/cache", "trusted.overlay.opaque", "y");
  upper.File("var/cache/new", Noise(200'000, 5));
  std::filesystem::create_hard_link(upper / "var/cache/new", upper / "var/link");
  std::filesystem::create_symlink("../../etc", upper / "var/out");
  upper.Xattr("etc/passwd", "user.note", "kept");
  ASSERT_EQ(::lchown((upper / "etc/passwd").c_str(), 1000, 2000), 0);
  upper.File("sparse", "");
  std::filesystem::resize_file(upper / "sparse", 5'000'000);
  KeepingSink sink;

  ASSERT_THAT(UnpackLayer(kUnpackProgram, PackedUpper(upper.path()).get(), sink, {}, Soon()),
              IsOk());

  EXPECT_THAT(sink.paths,
              ElementsAre("etc", "etc/passwd", "etc/shadow", "sparse", "var", "var/cache",
                          "var/cache", "var/cache/new", "var/link", "var/out"));
  EXPECT_EQ(sink.entries["etc"].mode, 0751u);
  EXPECT_EQ(sink.entries["etc/passwd"].uid, 1000u);
  EXPECT_EQ(sink.entries["etc/passwd"].gid, 2000u);
  EXPECT_EQ(sink.entries["etc/passwd"].xattrs.size(), 1u);
  EXPECT_EQ(sink.entries["etc/shadow"].kind, Kind::kWhiteout);
  EXPECT_EQ(sink.entries["var/cache (opaque)"].kind, Kind::kOpaque);
  EXPECT_EQ(sink.entries["var/cache"].mode, 01777u);
  EXPECT_EQ(sink.entries["var/link"].kind, Kind::kHardlink);
  EXPECT_EQ(sink.entries["var/link"].link_target, "var/cache/new");
  EXPECT_EQ(sink.entries["var/out"].link_target, "../../etc");
  EXPECT_TRUE(sink.contents["var/cache/new"] == Noise(200'000, 5));
  EXPECT_TRUE(sink.contents["sparse"] == std::string(5'000'000, '\0'));
  struct stat attributes {};
  ASSERT_EQ(::stat((upper / "etc/passwd").c_str(), &attributes), 0);
  EXPECT_EQ(sink.entries["etc/passwd"].mtime_ns,
            attributes.st_mtim.tv_sec * 1'000'000'000 + attributes.st_mtim.tv_nsec);
}

TEST_F(UnpackTest, MetadataIsReadByName) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one"));

  EXPECT_THAT(ReadMetadata(kUnpackProgram, archive, archive.containers()[0].metadata, Soon()),
              IsOkAnd(SampleMetadata("app")));
  EXPECT_THAT(ReadMetadata(kUnpackProgram, archive, archive.pod_metadata(), Soon()),
              IsOkAnd(::testing::Contains(::testing::Key("pod.dump"))));
}

TEST_F(UnpackTest, MetadataAboveSixteenMebibytesIsRefused) {
  const auto grow = [](ArchiveWriter& writer, std::vector<ContainerParts>& layers) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(
        layers[0].metadata, writer.PackMemory({{"spec.dump", std::string((16 << 20) + 1, 'x')}},
                                              kMetadataLayerMediaType));
  };
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("big", {"app"}, grow));

  EXPECT_THAT(ReadMetadata(kUnpackProgram, archive, archive.containers()[0].metadata, Soon()),
              StatusIs(Code::kResourceExhausted));
}

TEST_F(UnpackTest, DamagedMetadataIsRefusedBeforeItIsRead) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one"));
  const auto path = BlobPath("one", archive.pod_metadata());
  WriteText(path, Flipped(ReadText(path), 400));

  EXPECT_THAT(ReadMetadata("/nonexistent/program", archive, archive.pod_metadata(), Soon()),
              StatusIs(Code::kDataLoss, HasSubstr(archive.pod_metadata().digest)));
}

}  // namespace
}  // namespace cryopod::archive::test
