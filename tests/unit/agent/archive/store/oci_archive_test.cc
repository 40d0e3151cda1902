#include "agent/archive/store/oci_archive.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "agent/archive/store/archive_reader.h"
#include "tests/unit/agent/archive/store/foreign_tools.h"
#include "tests/unit/agent/archive/tar/tar_bytes.h"

namespace cryopod::archive::test {
namespace {

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
  EXPECT_TRUE(ReadTree(store_path() / "one/blobs") == ReadTree(store_path() / "two/blobs"));
  EXPECT_TRUE(Exported(one) == Exported(one)) << "the same archive gives the same tar";
}

TEST_F(ExportOciTest, ADamagedBlobEndsTheExportBeforeTheEndMarker) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));
  const auto path = BlobPath("one", one.containers()[0].criu_images);
  WriteText(path, Flipped(ReadText(path), 400));
  std::string tar;

  EXPECT_THAT(ExportOciArchive(one, SinkInto(&tar)),
              StatusIs(Code::kDataLoss, HasSubstr(one.containers()[0].criu_images.digest)));

  EXPECT_FALSE(tar.ends_with(End()));
  ExpectRefused(tar, "half a tar");
}

TEST_F(ExportOciTest, AnErrorOfTheSinkIsReturnedAndATakenNameRefused) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));
  const auto refuse = [](std::string_view) { return Status(Code::kCancelled, "enough"); };

  EXPECT_THAT(ExportOciArchive(one, refuse), StatusIs(Code::kCancelled, HasSubstr("enough")));
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
  int refused = 0;
  for (size_t at = 3000; at < tar.size() - 2000; at += tar.size() / 25) {
    // Between the files lie padding and header fields that nobody uses.
    const Result<Archive> imported = Import("damaged", Flipped(tar, at * 8 + 5));

    if (!imported.ok()) {
      ++refused;
      continue;
    }
    EXPECT_EQ(imported->digest(), one.digest()) << at;
    EXPECT_THAT(imported->Verify(Soon()), IsOk()) << at;
    EXPECT_THAT(store_->Delete("damaged"), IsOk());
  }
  EXPECT_GT(refused, 10);
}

TEST_F(ExportOciTest, LayoutsThatAreNoneAreRefused) {
  ASSERT_THAT(MakeArchive("one"), IsOk());
  const auto sound = ReadTree(store_path() / "one");
  ASSERT_THAT(Import("sound", TarOf(sound)), IsOk());
  const std::string some_blob = std::next(sound.begin(), 2)->first;
  const std::string stray = "blobs/sha256/" + DigestHex(DigestOf("stray"));
  // A content of "-": the file is not there.
  const std::map<std::string, std::string> changes[] = {
      {{"index.json", "-"}},
      {{"oci-layout", "-"}},
      {{some_blob, "-"}},
      {{some_blob, sound.at(some_blob) + "x"}},
      {{"extra", ""}},
      {{"blobs/extra", ""}},
      {{"blobs/sha512/aa", ""}},
      {{"../escape", ""}},
      {{"blobs/sha256/../../../escape", ""}},
      {{stray, "stray"}},  // that nobody names
      {{"index.json", R"({"schemaVersion":2,"manifests":[]})"}},
      {{"index.json", "{}"}},
  };
  for (const auto& change : changes) {
    auto files = change;
    files.insert(sound.begin(), sound.end());
    std::erase_if(files, [](const auto& file) { return file.second == "-"; });
    ExpectRefused(TarOf(files), ::testing::PrintToString(change));
  }

  ExpectRefused("", "nothing");
  ExpectRefused(End(), "an empty tar");
  ExpectRefused(TarOf({{"hello", "world"}}), "another tar");
  ExpectRefused(TarOf(sound).substr(0, TarOf(sound).size() - 1024) +
                    File("index.json", sound.at("index.json")) + End(),
                "index.json twice");
  ExpectRefused(Special("blobs/sha256", '2', "/tmp") + TarOf(sound), "blobs through a symlink");
  EXPECT_FALSE(std::filesystem::exists("/tmp/escape"));
}

TEST_F(ExportOciTest, WhatWasImportedIsKnownForItAndOursAlone) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));
  EXPECT_EQ(one.origin(), Origin::kThisNode);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive two, Import("two", Exported(one)));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive opened, Open("two"));
  EXPECT_EQ(opened.origin(), Origin::kImported);
  EXPECT_EQ(Exported(two).find(kImportedAnnotation), std::string::npos)
      << "the mark is of this node's store alone";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(store_path() / "two")) {
    struct stat attributes {};
    ASSERT_EQ(::lstat(entry.path().c_str(), &attributes), 0);
    EXPECT_EQ(attributes.st_uid, ::geteuid()) << entry.path();
    EXPECT_EQ(attributes.st_mode & 0777, entry.is_directory() ? 0700u : 0600u) << entry.path();
  }
}

// An archive that differs from a sound one in documents alone, every digest and size made right.
class ForeignDocumentsTest : public ExportOciTest {
 protected:
  using Change = std::function<std::string(const std::string&)>;

  void SetUp() override {
    ArchiveTest::SetUp();
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, MakeArchive("one"));
    files_ = ReadTree(store_path() / "one");
    index_ = one.digest();
  }
  // The tar with the first document changed that has this media type.
  std::string TarWith(const std::string& media_type, const Change& change) {
    auto files = files_;
    const std::string index = Rewrite(files, index_, kImageIndexMediaType, media_type, change);
    files["index.json"] =
        LayoutIndexJson({kImageIndexMediaType, index, Blob(files, index).size()}, "another-name");
    return TarOf(files);
  }

 private:
  using Files = std::map<std::string, std::string>;

  static std::string& Blob(Files& files, const std::string& digest) {
    return files["blobs/sha256/" + DigestHex(digest)];
  }
  // Changes the document or those that it names; its digest then.
  std::string Rewrite(Files& files, const std::string& digest, const std::string& type,
                      const std::string& wanted, const Change& change) {
    std::string text = Blob(files, digest);
    nlohmann::json document = nlohmann::json::parse(text);
    for (nlohmann::json* named : NamedIn(document)) {
      const std::string old = (*named)["digest"];
      const std::string now = Rewrite(files, old, (*named)["mediaType"], wanted, change);
      (*named)["digest"] = now;
      (*named)["size"] = Blob(files, now).size();
    }
    text = document.dump();
    if (type == wanted) text = change(text);
    files.erase("blobs/sha256/" + DigestHex(digest));
    const std::string now = DigestOf(text);
    Blob(files, now) = text;
    return now;
  }
  static std::vector<nlohmann::json*> NamedIn(nlohmann::json& document) {
    std::vector<nlohmann::json*> named;
    if (document.contains("manifests")) {
      for (auto& manifest : document["manifests"]) named.push_back(&manifest);
    } else if (document.contains("config")) {
      named.push_back(&document["config"]);
    }
    return named;
  }

  Files files_;
  std::string index_;
};

constexpr std::array kDocumentTypes = {kImageIndexMediaType, kImageManifestMediaType,
                                       kPodConfigMediaType, kContainerConfigMediaType};

TEST_F(ForeignDocumentsTest, OneThatIsNotAsWeWriteItIsRefusedWhereverItStands) {
  const auto same = [](const std::string& text) { return text; };
  const auto spaced = [](const std::string& text) { return "{ " + text.substr(1); };
  const auto deep = [](const std::string& text) {
    return "{\"\":" + std::string(5000, '[') + std::string(5000, ']') + "," + text.substr(1);
  };
  const auto twice = [](const std::string& text) { return "{\"a\":1,\"a\":2," + text.substr(1); };
  for (const char* type : kDocumentTypes) {
    ASSERT_THAT(Import("same", TarWith(type, same)), IsOk()) << type;
    ASSERT_THAT(store_->Delete("same"), IsOk());
    ExpectRefused(TarWith(type, spaced), std::string(type) + " with a space");
    ExpectRefused(TarWith(type, deep), std::string(type) + " nested");
    ExpectRefused(TarWith(type, twice), std::string(type) + " with a key twice");
    ExpectRefused(TarWith(type, [](const std::string&) { return "[]"; }), type);
  }
}

TEST_F(ForeignDocumentsTest, MembersOfALaterVersionAreCarriedAndANewerSchemaIsRefusedByName) {
  const auto later = [](const std::string& text) {
    auto document = nlohmann::json::parse(text);
    document["zzz"] = {1, "later"};
    return document.dump();
  };
  const auto newer = [](const std::string& text) {
    auto document = nlohmann::json::parse(text);
    document["schemaVersion"] = 99;
    return document.dump();
  };

  EXPECT_THAT(Import("later", TarWith(kPodConfigMediaType, later)), IsOk());
  EXPECT_THAT(Import("newer", TarWith(kPodConfigMediaType, newer)),
              StatusIs(Code::kUnimplemented, HasSubstr("99")));
}

TEST_F(ForeignDocumentsTest, AnImportWhoseReaderLiesIsRefusedOnThisSideToo) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive one, Open("one"));
  WriteText(temp_.path() / "import.tar", Exported(one));
  // One that was taken over leaves whatever it likes.
  for (const char* script : {"mkdir -p blobs/sha256; echo {} >index.json; echo {} >oci-layout",
                             "mkdir -p blobs/sha256; echo >oci-layout; head -c 5000000 /dev/zero | "
                             "tr '\\0' '[' >index.json"}) {
    const auto program = temp_.path() / "evil-unpack";
    WriteText(program, "#!/bin/sh\ncd /proc/self/fd/4 && " + std::string(script) + "\n");
    ASSERT_EQ(::chmod(program.c_str(), 0700), 0);

    EXPECT_FALSE(ImportOciArchive(*store_, "evil",
                                  OpenPath(temp_.path() / "import.tar", O_RDONLY).get(),
                                  program.string(), Soon())
                     .ok());

    EXPECT_FALSE(std::filesystem::exists(store_path() / "evil"));
  }
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
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ImageIndex index, Parse<ImageIndex>(files[path], "index"));
  index.artifact_type.clear();
  for (Descriptor& manifest : index.manifests) manifest.artifact_type.clear();
  const std::string text = json::Write(index);
  const Descriptor stripped{kImageIndexMediaType, DigestOf(text), text.size()};
  files.erase(path);
  files["blobs/sha256/" + DigestHex(stripped.digest)] = text;
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
  EXPECT_THAT(two.Verify(Soon()), IsOk());
}

}  // namespace
}  // namespace cryopod::archive::test
