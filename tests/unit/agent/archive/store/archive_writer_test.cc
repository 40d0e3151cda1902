#include "agent/archive/store/archive_writer.h"

#include <sys/stat.h>

#include <thread>

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
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
  uint64_t bytes = 0;
  for (const auto& [path, content] : ReadTree(store_path() / "one" / "blobs")) {
    bytes += content.size();
  }

  EXPECT_EQ(archive.size_bytes(), bytes);
  EXPECT_THAT(archive.Verify(nullptr, Soon()), IsOkAnd(bytes));
}

TEST_F(ArchiveWriterTest, VerifyTellsHowFarItIs) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one"));
  uint64_t last = 0;

  EXPECT_THAT(archive.Verify(
                  [&](uint64_t done, uint64_t total) {
                    EXPECT_GT(done, last);
                    EXPECT_EQ(total, archive.size_bytes());
                    last = done;
                  },
                  Soon()),
              IsOk());

  EXPECT_EQ(last, archive.size_bytes());
}

TEST_F(ArchiveWriterTest, VerifyEndsWithItsDeadline) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one"));

  EXPECT_THAT(archive.Verify(nullptr, Deadline::After(std::chrono::seconds(0))),
              StatusIs(Code::kDeadlineExceeded));
}

TEST_F(ArchiveWriterTest, TheSameContentHasTheSameDigestUnderAnyName) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));
  // The files of the writable layer carry their times, so they must be the same files.
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("two"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Descriptor images,
                               writer.PackFiles(OpenPath(temp_.path() / "images-app").get(),
                                                kCriuImagesLayerMediaType, nullptr));

  EXPECT_EQ(images, one.containers()[0].criu_images);
}

TEST_F(ArchiveWriterTest, CommitSortsByTheCheckpointNotByTheCaller) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Descriptor pod,
                               writer.PackMemory({{"pod.dump", "{}"}}, kMetadataLayerMediaType));
  const ContainerLayers app = PackContainer(writer, "app");
  const ContainerLayers log = PackContainer(writer, "log");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const Archive archive,
      std::move(writer).Commit(SampleCheckpoint({"log", "app"}), pod, {app, log}));

  EXPECT_EQ(archive.containers()[0].name, "log");
  EXPECT_EQ(archive.containers()[0].metadata, log.metadata);
}

TEST_F(ArchiveWriterTest, LayersAndCheckpointMustNameTheSameContainers) {
  for (const std::vector<std::string>& described :
       {std::vector<std::string>{}, std::vector<std::string>{"other"},
        std::vector<std::string>{"app", "log"}}) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Descriptor pod,
                                 writer.PackMemory({{"pod.dump", "{}"}}, kMetadataLayerMediaType));
    const ContainerLayers app = PackContainer(writer, "app");

    EXPECT_THAT(std::move(writer).Commit(SampleCheckpoint(described), pod, {app}),
                StatusIs(Code::kInvalidArgument));
    EXPECT_THAT(Open("one"), StatusIs(Code::kNotFound));
  }
}

TEST_F(ArchiveWriterTest, WhatWouldNotOpenAgainIsNotCommitted) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Descriptor pod,
                               writer.PackMemory({{"pod.dump", "{}"}}, kMetadataLayerMediaType));
  PodCheckpoint checkpoint = SampleCheckpoint({});
  checkpoint.pod_name = "";

  EXPECT_THAT(std::move(writer).Commit(checkpoint, pod, {}),
              StatusIs(Code::kDataLoss, HasSubstr("podName")));

  EXPECT_THAT(Open("one"), StatusIs(Code::kNotFound));
  EXPECT_TRUE(std::filesystem::is_empty(store_path() / ".partial"));
}

TEST_F(ArchiveWriterTest, BlobsOfADiscardedCaptureAreNotInTheArchive) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const Descriptor discarded,
      writer.PackMemory({{"core-1.img", "first try"}}, kCriuImagesLayerMediaType));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, Commit(std::move(writer), {"app"}));

  EXPECT_FALSE(std::filesystem::exists(BlobPath("one", discarded)));
  EXPECT_THAT(archive.Verify(nullptr, Soon()), IsOk());
}

TEST_F(ArchiveWriterTest, ManifestsCarryTheAnnotationsOfExistingTools) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Descriptor pod,
                               writer.PackMemory({{"pod.dump", "{}"}}, kMetadataLayerMediaType));
  ContainerLayers app = PackContainer(writer, "app");
  app.annotations = {{kEngineNameAnnotation, "containerd"}};
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive,
                               std::move(writer).Commit(SampleCheckpoint({"app"}), pod, {app}));

  std::string manifest;
  for (const auto& [path, text] : ReadTree(store_path() / "one" / "blobs")) {
    if (text.starts_with("{") && text.find("criu.v1.tar+zstd") != std::string::npos)
      manifest = text;
  }

  for (const char* expected : {"\"org.criu.checkpoint.container.name\":\"app\"",
                               "\"io.kubernetes.cri-o.annotations.checkpoint.name\":\"app\"",
                               "\"org.criu.checkpoint.engine.name\":\"containerd\"",
                               "\"org.criu.checkpoint.pod.name\":\"web-0\"",
                               "\"org.criu.checkpoint.criu.version\":\"4.2.1\"",
                               "\"org.criu.checkpoint.rootfsImageName\":\"example.org/app:1\"",
                               "\"org.opencontainers.image.created\":\"2026-11-24T22:00:00Z\""}) {
    EXPECT_THAT(manifest, HasSubstr(expected));
  }
}

TEST_F(ArchiveWriterTest, OneBlobMayServeSeveralContainers) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Descriptor pod,
                               writer.PackMemory({{"pod.dump", "{}"}}, kMetadataLayerMediaType));
  ContainerLayers app = PackContainer(writer, "app");
  ContainerLayers twin = app;
  twin.name = "twin";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const Archive archive,
      std::move(writer).Commit(SampleCheckpoint({"app", "twin"}), pod, {app, twin}));

  EXPECT_THAT(archive.Verify(nullptr, Soon()), IsOkAnd(archive.size_bytes()));
}

TEST_F(ArchiveWriterTest, AnEmptyUpperDirectoryIsNoLayer) {
  std::filesystem::create_directory(temp_.path() / "empty");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const Descriptor layer,
      writer.PackOverlayUpper(OpenPath(temp_.path() / "empty").get(), nullptr));

  EXPECT_EQ(layer.digest, "");
}

TEST_F(ArchiveWriterTest, ProgressCountsTheBytesOfTheFiles) {
  WriteFiles(temp_.path() / "files", {{"a", std::string(3'000'000, 'a')}, {"b", "12345"}});
  uint64_t bytes = 0;

  const auto count = [&](uint64_t more) {
    bytes += more;
    return Status();
  };
  EXPECT_THAT(Pack(temp_.path() / "files", count), IsOk());

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

TEST_F(ArchiveWriterTest, WhoWatchesTheBytesCanEndTheWork) {
  WriteFiles(temp_.path() / "files", {{"a.img", std::string(4'000'000, 'a')}});
  const auto refuse = [](uint64_t) { return Status(Code::kCancelled, "enough"); };

  EXPECT_THAT(Pack(temp_.path() / "files", refuse), StatusIs(Code::kCancelled));
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
