#include "agent/archive/store/export_container.h"

#include "tests/unit/agent/archive/store/foreign_tools.h"
#include "tests/unit/agent/archive/tar/upper_fixture.h"

namespace cryopod::archive::test {
namespace {

class ExportContainerTest : public ArchiveTest {
 protected:
  void SetUp() override {
    ArchiveTest::SetUp();
    std::filesystem::create_directory(temp_.path() / "scratch");
  }

  Status Export(const Archive& archive, const std::string& container, std::string* tar) {
    return ExportContainerTar(archive, container, kUnpackProgram,
                              (temp_.path() / "scratch").string(), SinkInto(tar), Soon());
  }

  // Unpacked by the system's own tar, which thereby reads it too.
  std::map<std::string, std::string> Untarred(const std::string& tar, const std::string& name) {
    const auto into = temp_.path() / name;
    std::filesystem::create_directory(into);
    WriteText(temp_.path() / (name + ".tar"), tar);
    const CommandOutput output = RunTool(
        {"/bin/tar", "-xf", (temp_.path() / (name + ".tar")).string(), "-C", into.string()});
    EXPECT_TRUE(output.status.success()) << output.text;
    return ReadTree(into);
  }
};

TEST_F(ExportContainerTest, HasTheNamesOfTheKubeletsTar) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"app", "log"}));
  std::string tar;

  ASSERT_THAT(Export(archive, "log", &tar), IsOk());

  auto files = Untarred(tar, "exported");
  std::map<std::string, std::string> expected = SampleMetadata("log");
  expected.erase("container-config.json");
  for (const auto& [name, bytes] : SampleImages("log")) expected["checkpoint/" + name] = bytes;
  const std::string rootfs = files["rootfs-diff.tar"];
  files.erase("rootfs-diff.tar");
  EXPECT_TRUE(files == expected);
  EXPECT_EQ(Untarred(rootfs, "rootfs")["var/state"], "written by log");
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path() / "scratch"));
}

TEST_F(ExportContainerTest, RemovedFilesStandInAList) {
  UpperFixture upper;
  if (!upper.CanMakeMarks()) GTEST_SKIP() << "needs root and trusted xattrs";
  upper.Directory("etc");
  upper.File("etc/new", "new");
  upper.Whiteout("etc/old \"quoted\"");
  upper.Whiteout("gone");
  const auto repack = [&](ArchiveWriter& writer, std::vector<ContainerParts>& layers) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(layers[0].rootfs_diff,
                                 writer.PackOverlayUpper(OpenPath(upper.path()).get(), nullptr));
  };
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"app"}, repack));
  std::string tar;

  ASSERT_THAT(Export(archive, "app", &tar), IsOk());

  auto files = Untarred(tar, "exported");
  EXPECT_EQ(files["deleted.files"], R"(["/etc/old \"quoted\"","/gone"])");
  EXPECT_EQ(Untarred(files["rootfs-diff.tar"], "rootfs"),
            (std::map<std::string, std::string>{{"etc/new", "new"}}));
}

TEST_F(ExportContainerTest, WithoutAWritableLayerThereIsNoDiff) {
  const auto drop = [](ArchiveWriter&, auto& layers) { layers[0].rootfs_diff = {}; };
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"app"}, drop));
  std::string tar;

  ASSERT_THAT(Export(archive, "app", &tar), IsOk());

  EXPECT_FALSE(Untarred(tar, "exported").contains("rootfs-diff.tar"));
}

TEST_F(ExportContainerTest, AnAbsentContainerIsNotFoundAndTheOthersAreListed) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"app", "log"}));
  std::string tar;

  EXPECT_THAT(Export(archive, "web", &tar),
              StatusIs(Code::kNotFound, AllOf(HasSubstr("\"web\""), HasSubstr("app, log"))));
  EXPECT_EQ(tar, "");
}

TEST_F(ExportContainerTest, MetadataWithoutASpecIsRefused) {
  const auto repack = [](ArchiveWriter& writer, std::vector<ContainerParts>& layers) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(
        layers[0].metadata, writer.PackMemory({{"config.dump", "{}"}}, kMetadataLayerMediaType));
  };
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"app"}, repack));
  std::string tar;

  EXPECT_THAT(Export(archive, "app", &tar), StatusIs(Code::kDataLoss, HasSubstr("spec.dump")));
}

TEST_F(ExportContainerTest, ADamagedLayerEndsTheExport) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one"));
  for (const Descriptor& blob :
       {archive.containers()[0].rootfs_diff, archive.containers()[0].criu_images,
        archive.containers()[0].metadata}) {
    WriteText(BlobPath("one", blob), Flipped(ReadText(BlobPath("one", blob)), 160));
    std::string tar;

    EXPECT_THAT(Export(archive, "app", &tar), StatusIs(Code::kDataLoss, HasSubstr(blob.digest)));
  }
}

}  // namespace
}  // namespace cryopod::archive::test
