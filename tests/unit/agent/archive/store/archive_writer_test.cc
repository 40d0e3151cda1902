#include <sys/stat.h>

#include <thread>

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

using ::testing::IsSupersetOf;

class ArchiveWriterTest : public ArchiveTest {
 protected:
  Result<Descriptor> Pack(const std::filesystem::path& path,
                          const ByteProgress& progress = nullptr) {
    Result<ArchiveWriter> writer = store_->Create("packing");
    if (!writer.ok()) return writer.status();
    return writer->PackFiles(OpenPath(path).get(), kCriuImagesLayerMediaType, progress);
  }
};

TEST_F(ArchiveWriterTest, WhatWasCommittedIsOpened) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive committed, MakeArchive("one", {"app", "log"}));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive opened, Open("one"));

  EXPECT_EQ(opened.name(), "one");
  EXPECT_EQ(opened.digest(), committed.digest());
  EXPECT_EQ(opened.checkpoint(), SampleCheckpoint({"app", "log"}));
  ASSERT_EQ(opened.containers().size(), 2u);
  EXPECT_EQ(opened.containers()[0].name, "app");
  EXPECT_EQ(opened.containers()[1].name, "log");
  EXPECT_EQ(opened.containers()[1].metadata.media_type, kMetadataLayerMediaType);
  EXPECT_EQ(opened.containers()[1].criu_images.media_type, kCriuImagesLayerMediaType);
  EXPECT_EQ(opened.containers()[1].rootfs_diff.media_type, kImageLayerZstdMediaType);
  EXPECT_EQ(opened.pod_metadata().media_type, kMetadataLayerMediaType);
}

TEST_F(ArchiveWriterTest, TheSizeIsThatOfAllBlobs) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"app", "log"}));
  const auto blobs = ReadTree(store_path() / "one" / "blobs");
  uint64_t bytes = 0;
  for (const auto& [path, content] : blobs) bytes += content.size();

  EXPECT_EQ(archive.size_bytes(), bytes);
  EXPECT_EQ(archive.blobs().size(), blobs.size());
}

TEST_F(ArchiveWriterTest, VerifyEndsWithItsDeadline) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one"));

  EXPECT_THAT(archive.Verify(Soon()), IsOk());
  EXPECT_THAT(archive.Verify(Deadline::After(std::chrono::seconds(0))),
              StatusIs(Code::kDeadlineExceeded));
}

TEST_F(ArchiveWriterTest, TheSameContentHasTheSameDigestUnderAnyName) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));

  // The files of the writable layer carry their times, so they must be the same files.
  EXPECT_THAT(Pack(temp_.path() / "images-app"), IsOkAnd(one.containers()[0].criu_images));
}

TEST_F(ArchiveWriterTest, CommitSortsByTheCheckpointNotByTheCaller) {
  const auto swap = [](ArchiveWriter&, auto& layers) { std::swap(layers[0], layers[1]); };

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"log", "app"}, swap));

  EXPECT_EQ(archive.containers()[0].name, "log");
  EXPECT_THAT(ReadMetadata(kUnpackProgram, archive, archive.containers()[0].metadata, Soon()),
              IsOkAnd(SampleMetadata("log")));
}

TEST_F(ArchiveWriterTest, LayersAndCheckpointMustNameTheSameContainers) {
  for (const std::vector<std::string>& described :
       std::vector<std::vector<std::string>>{{}, {"other"}, {"app", "log"}}) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));

    EXPECT_THAT(Commit(std::move(writer), SampleCheckpoint(described), {"app"}),
                StatusIs(Code::kInvalidArgument));
    EXPECT_THAT(Open("one"), StatusIs(Code::kNotFound));
  }
}

TEST_F(ArchiveWriterTest, WhatWouldNotOpenAgainIsNotCommitted) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
  PodCheckpoint checkpoint = SampleCheckpoint({"app"});
  checkpoint.pod_name = "";

  EXPECT_THAT(Commit(std::move(writer), checkpoint),
              StatusIs(Code::kDataLoss, HasSubstr("podName")));

  EXPECT_THAT(Open("one"), StatusIs(Code::kNotFound));
  EXPECT_TRUE(std::filesystem::is_empty(partial_path()));
}

TEST_F(ArchiveWriterTest, BlobsOfADiscardedCaptureAreNotInTheArchive) {
  Descriptor discarded;
  const auto pack = [&](ArchiveWriter& writer, std::vector<ContainerParts>&) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(
        discarded, writer.PackMemory({{"core-1.img", "first try"}}, kCriuImagesLayerMediaType));
  };

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"app"}, pack));

  EXPECT_FALSE(std::filesystem::exists(BlobPath("one", discarded)));
  EXPECT_THAT(archive.Verify(Soon()), IsOk());
}

TEST_F(ArchiveWriterTest, ManifestsCarryTheAnnotationsOfExistingTools) {
  ASSERT_THAT(MakeArchive("one", {"app"}), IsOk());

  std::string manifest;
  for (const auto& [path, text] : ReadTree(store_path() / "one" / "blobs")) {
    if (text.starts_with("{") && text.find("criu.v1.tar+zstd") != std::string::npos)
      manifest = text;
  }

  for (const char* expected : {"\"org.criu.checkpoint.container.name\":\"app\"",
                               "\"io.kubernetes.cri-o.annotations.checkpoint.name\":\"app\"",
                               "\"org.criu.checkpoint.engine.name\":\"cryopod\"",
                               "\"org.criu.checkpoint.pod.name\":\"web-0\"",
                               "\"org.criu.checkpoint.criu.version\":\"4.2.1\"",
                               "\"org.criu.checkpoint.rootfsImageName\":\"example.org/app:1\"",
                               "\"org.opencontainers.image.created\":\"2026-11-24T22:00:00Z\""}) {
    EXPECT_THAT(manifest, HasSubstr(expected));
  }
}

TEST_F(ArchiveWriterTest, OneBlobMayServeSeveralContainers) {
  const auto share = [](ArchiveWriter&, std::vector<ContainerParts>& layers) {
    layers[1] = layers[0];
    layers[1].name = "twin";
  };

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one", {"app", "twin"}, share));

  EXPECT_EQ(archive.containers()[1].criu_images, archive.containers()[0].criu_images);
  EXPECT_THAT(archive.Verify(Soon()), IsOk());
}

TEST_F(ArchiveWriterTest, AnEmptyUpperDirectoryIsNoLayer) {
  std::filesystem::create_directory(temp_.path() / "empty");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const Descriptor layer,
      writer.PackOverlayUpper(OpenPath(temp_.path() / "empty").get(), nullptr));

  EXPECT_EQ(layer.digest, "");
}

TEST_F(ArchiveWriterTest, WhoWatchesTheBytesGetsTheirNumberAndCanEndTheWork) {
  WriteFiles(temp_.path() / "files", {{"a", std::string(3'000'000, 'a')}, {"b", "12345"}});
  uint64_t bytes = 0;
  const auto count = [&](uint64_t more) {
    bytes += more;
    return Status();
  };
  const auto refuse = [](uint64_t) { return Status(Code::kCancelled, "enough"); };

  EXPECT_THAT(Pack(temp_.path() / "files", count), IsOk());
  EXPECT_THAT(Pack(temp_.path() / "files", refuse), StatusIs(Code::kCancelled));

  EXPECT_EQ(bytes, 3'000'005u);
}

TEST_F(ArchiveWriterTest, SeveralThreadsMayPackAtOnce) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
  std::vector<std::string> digests(6);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < digests.size(); ++i) {
      const auto path = temp_.path() / ("files-" + std::to_string(i % 2));
      if (i < 2) WriteFiles(path, {{"pages-1.img", Noise(2'000'000, i + 1)}});
      threads.emplace_back([&, i, path] {
        Result<Descriptor> blob =
            writer.PackFiles(OpenPath(path).get(), kCriuImagesLayerMediaType, nullptr);
        if (blob.ok()) digests[i] = blob->digest;
      });
    }
  }

  for (size_t i = 0; i < digests.size(); ++i) {
    EXPECT_NE(digests[i], "");
    EXPECT_EQ(digests[i], digests[i % 2]);
  }
}

TEST_F(ArchiveWriterTest, WhatIsNoPlainFileIsRefusedByNameNotLeftOut) {
  const auto path = temp_.path() / "files";
  const std::map<std::string, std::function<void()>> makers = {
      {"directory", [&] { std::filesystem::create_directory(path / "directory"); }},
      {"link", [&] { std::filesystem::create_symlink("/etc/passwd", path / "link"); }},
      {"fifo", [&] { ASSERT_EQ(::mkfifo((path / "fifo").c_str(), 0600), 0); }},
      {".hidden", [&] { WriteText(path / ".hidden", ""); }},
  };
  for (const auto& [name, make] : makers) {
    std::filesystem::remove_all(path);
    WriteFiles(path, {{"a.img", "a"}});
    make();

    const Result<Descriptor> packed = Pack(path);

    EXPECT_FALSE(packed.ok()) << name;
    EXPECT_THAT(packed.status().message(), HasSubstr(name));
  }
}

TEST_F(ArchiveWriterTest, AFileThatShrinksWhileItIsReadIsRefused) {
  WriteFiles(temp_.path() / "files", {{"a.img", std::string(4'000'000, 'a')}});
  const auto shrink = [&](uint64_t) {
    std::filesystem::resize_file(temp_.path() / "files" / "a.img", 1'500'000);
    return Status();
  };

  EXPECT_THAT(Pack(temp_.path() / "files", shrink),
              StatusIs(Code::kDataLoss, AllOf(HasSubstr("a.img"), HasSubstr("shrank"))));
}

}  // namespace
}  // namespace cryopod::archive::test
