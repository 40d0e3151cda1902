#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "agent/archive/store/archive_reader.h"
#include "tests/unit/agent/archive/archive_fixture.h"

// Archives that were damaged, or that somebody made to mislead.

namespace cryopod::archive::test {
namespace {

using nlohmann::json;

class ArchiveDamageTest : public ArchiveTest {
 protected:
  void SetUp() override {
    ArchiveTest::SetUp();
    ASSERT_THAT(MakeArchive("one", {"app", "log"}), IsOk());
  }

  std::filesystem::path path() const { return store_path() / "one"; }
  std::filesystem::path BlobPathOf(const std::string& digest) const {
    return path() / "blobs" / "sha256" / DigestHex(digest);
  }

  Status OpenAndVerify() {
    Result<Archive> archive = Open("one");
    return archive.ok() ? archive->Verify(Soon()) : archive.status();
  }

  json Read(const std::string& digest) { return json::parse(ReadText(BlobPathOf(digest))); }
  std::string PodIndexDigest() {
    return json::parse(ReadText(path() / "index.json"))["manifests"][0]["digest"];
  }
  // Stores a document as a blob and returns its digest.
  std::string Store(const std::string& text) {
    const std::string digest = DigestOf(text);
    WriteText(BlobPathOf(digest), text);
    return digest;
  }
  // A forged pod index, properly named by index.json.
  void ForgeIndex(const std::string& text) {
    const std::string old = PodIndexDigest();
    const Descriptor index{kImageIndexMediaType, Store(text), text.size()};
    if (old != index.digest) std::filesystem::remove(BlobPathOf(old));
    WriteText(path() / "index.json", LayoutIndexJson(index, "one"));
  }
  // Changes the manifest at `position` of the pod's index, with all digests above put right.
  void ForgeManifest(size_t position, const std::function<void(json&)>& change) {
    json index = Read(PodIndexDigest());
    json& descriptor = index["manifests"][position];
    const std::string old = descriptor["digest"];
    json manifest = Read(old);
    change(manifest);
    std::filesystem::remove(BlobPathOf(old));
    descriptor["digest"] = Store(manifest.dump());
    descriptor["size"] = manifest.dump().size();
    ForgeIndex(index.dump());
  }
  void ForgeConfig(size_t position, const std::string& key, const json& value) {
    ForgeManifest(position, [&](json& manifest) {
      const std::string old = manifest["config"]["digest"];
      json config = Read(old);
      config[key] = value;
      std::filesystem::remove(BlobPathOf(old));
      manifest["config"]["digest"] = Store(config.dump());
      manifest["config"]["size"] = config.dump().size();
    });
  }
};

TEST_F(ArchiveDamageTest, TheForgersToolsThemselvesMakeSoundArchives) {
  ForgeManifest(1, [](json& manifest) { manifest["annotations"]["x"] = "y"; });
  ForgeConfig(0, "unknown", 1);

  EXPECT_THAT(OpenAndVerify(), IsOk());
}

TEST_F(ArchiveDamageTest, EverySingleBitFlipIsRefused) {
  int flips = 0;
  for (const auto& [name, bytes] : ReadTree(path())) {
    const size_t bits = bytes.size() * 8;
    const size_t step = std::max<size_t>(1, bits / 100) | 1;
    for (size_t bit = 0; bit < bits; bit += step) {
      WriteText(path() / name, Flipped(bytes, bit));

      EXPECT_THAT(OpenAndVerify(), AnyOf(StatusIs(Code::kDataLoss), StatusIs(Code::kUnimplemented)))
          << name << " bit " << bit;
      ++flips;
    }
    WriteText(path() / name, bytes);
  }

  EXPECT_GT(flips, 1000);
  EXPECT_THAT(OpenAndVerify(), IsOk());
}

TEST_F(ArchiveDamageTest, EveryMissingTruncatedOrLongerFileIsRefusedOnOpening) {
  for (const auto& [name, bytes] : ReadTree(path())) {
    for (const std::string& damaged :
         {bytes.substr(0, bytes.size() - 1), bytes + "x", std::string()}) {
      WriteText(path() / name, damaged);
      EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss)) << name << " " << damaged.size();
    }
    std::filesystem::remove(path() / name);
    EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss)) << name;
    WriteText(path() / name, bytes);
  }
}

TEST_F(ArchiveDamageTest, ASoundBlobIsReadFromItsBeginningAndTheDamagedOneIsNamed) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, Open("one"));
  const Descriptor& images = archive.containers()[0].criu_images;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd blob, archive.OpenVerifiedBlob(images));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadAll(blob.get(), 1 << 20));
  EXPECT_EQ(DigestOf(bytes), images.digest);

  WriteText(BlobPathOf(images.digest), Flipped(bytes, 802));

  EXPECT_THAT(archive.Verify(Soon()), StatusIs(Code::kDataLoss, HasSubstr(images.digest)));
  EXPECT_THAT(archive.OpenVerifiedBlob(images),
              StatusIs(Code::kDataLoss, HasSubstr(images.digest)));
}

TEST_F(ArchiveDamageTest, ABlobThatIsNoRegularFileIsRefused) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, Open("one"));
  const auto blob = BlobPathOf(archive.pod_metadata().digest);
  const auto elsewhere = temp_.path() / "elsewhere";
  std::filesystem::rename(blob, elsewhere);
  const std::vector<std::function<void()>> makers = {
      [&] { std::filesystem::create_symlink(elsewhere, blob); },
      [&] { std::filesystem::create_directory(blob); },
      [&] { ASSERT_EQ(::mkfifo(blob.c_str(), 0600), 0); },
  };
  for (const auto& make : makers) {
    make();
    EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss));
    EXPECT_THAT(archive.OpenBlob(archive.pod_metadata()), StatusIs(Code::kDataLoss));
    std::filesystem::remove(blob);
  }
}

TEST_F(ArchiveDamageTest, FilesThatDoNotBelongAreRefused) {
  for (const auto& stray : {path() / "extra", path() / "blobs" / "extra",
                            path() / "blobs" / "sha256" / std::string(64, '0')}) {
    WriteText(stray, "");
    EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss, HasSubstr("does not belong"))) << stray;
    std::filesystem::remove(stray);
  }
}

TEST_F(ArchiveDamageTest, AnArchiveUnderAnotherNameOrBehindASymlinkIsRefused) {
  std::filesystem::rename(path(), store_path() / "two");
  EXPECT_THAT(Open("two"), StatusIs(Code::kDataLoss));

  std::filesystem::create_directory_symlink(store_path() / "two", path());
  EXPECT_FALSE(Open("one").ok());
}

TEST_F(ArchiveDamageTest, AnIndexThatIsAManifestOfItselfIsRefused) {
  const std::string digest = Read(PodIndexDigest())["manifests"][0]["digest"];
  const Descriptor manifest{"", digest, ReadText(BlobPathOf(digest)).size()};
  WriteText(path() / "index.json", LayoutIndexJson(manifest, "one"));

  EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss));
}

TEST_F(ArchiveDamageTest, MisleadingIndexesAreRefused) {
  const json index = Read(PodIndexDigest());
  const std::vector<std::pair<std::string, std::function<void(json&)>>> forgeries = {
      // A digest of itself cannot be made; the digest of the index below index.json can.
      {"an index", [](json& i) { i["manifests"][1]["mediaType"] = kImageIndexMediaType; }},
      {"a text", [](json& i) { i["manifests"][1]["mediaType"] = "text/plain"; }},
      {"no such manifest",
       [](json& i) { i["manifests"][1]["digest"] = "sha256:" + std::string(64, '0'); }},
      {"other artifact", [](json& i) { i["artifactType"] = "application/x"; }},
      {"no pod", [](json& i) { i["manifests"].erase(0); }},
      {"two pods", [](json& i) { i["manifests"].push_back(i["manifests"][0]); }},
      {"a container less", [](json& i) { i["manifests"].erase(2); }},
      {"a container twice", [](json& i) { i["manifests"][2] = i["manifests"][1]; }},
      {"containers swapped", [](json& i) { std::swap(i["manifests"][1], i["manifests"][2]); }},
      {"two sizes",
       [](json& i) {
         i["manifests"].push_back(i["manifests"][1]);
         i["manifests"][3]["size"] = 1;
       }},
      {"size 2^63", [](json& i) { i["manifests"][1]["size"] = uint64_t{1} << 63; }},
      {"a million manifests",
       [](json& i) {
         for (int n = 0; n < 2000; ++n) i["manifests"].push_back(i["manifests"][1]);
       }},
  };
  for (const auto& [what, forge] : forgeries) {
    json forged = index;
    forge(forged);
    ForgeIndex(forged.dump());

    EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss)) << what;
  }
  ForgeIndex(index.dump());
  EXPECT_THAT(OpenAndVerify(), IsOk());
}

TEST_F(ArchiveDamageTest, DeepAndDoubledJsonIsRefused) {
  const std::string text = Read(PodIndexDigest()).dump();
  std::string deep = "{\"x\":";
  for (int i = 0; i < 100'000; ++i) deep += '[';

  for (const std::string& forged :
       {deep, "{\"schemaVersion\":2," + text.substr(1), std::string("[]"), std::string()}) {
    ForgeIndex(forged);
    EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss)) << forged.substr(0, 40);
  }
}

TEST_F(ArchiveDamageTest, MisleadingManifestsAreRefused) {
  const std::vector<std::pair<std::string, std::function<void(json&)>>> forgeries = {
      {"no layers", [](json& m) { m["layers"] = json::array(); }},
      {"no images", [](json& m) { m["layers"].erase(1); }},
      {"images twice", [](json& m) { m["layers"].push_back(m["layers"][1]); }},
      {"wrong size", [](json& m) { m["layers"][1]["size"] = 5; }},
      {"wrong digest",
       [](json& m) { m["layers"][1]["digest"] = "sha256:" + std::string(64, 'e'); }},
      {"config of an image",
       [](json& m) { m["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"; }},
      {"schema 1", [](json& m) { m["schemaVersion"] = 1; }},
  };
  const auto before = ReadTree(path());
  for (const auto& [what, forge] : forgeries) {
    ForgeManifest(1, forge);

    EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss)) << what;

    std::filesystem::remove_all(path());
    std::filesystem::create_directories(path() / "blobs/sha256");
    WriteFiles(path(), before);
  }
  EXPECT_THAT(OpenAndVerify(), IsOk());
}

TEST_F(ArchiveDamageTest, WhatANewerProgramWroteIsRefusedAsSuch) {
  ForgeManifest(1,
                [](json& m) { m["layers"][1]["mediaType"] = "application/vnd.cryopod.pages.v9"; });
  EXPECT_THAT(Open("one"), StatusIs(Code::kUnimplemented, HasSubstr("pages.v9")));

  ForgeConfig(0, "schemaVersion", 2);
  EXPECT_THAT(Open("one"), StatusIs(Code::kUnimplemented, HasSubstr("schema version 2")));
}

TEST_F(ArchiveDamageTest, AContainerOfAnotherNameIsRefused) {
  ForgeConfig(1, "name", "other");

  EXPECT_THAT(Open("one"), StatusIs(Code::kDataLoss, HasSubstr("\"other\"")));
}

}  // namespace
}  // namespace cryopod::archive::test
