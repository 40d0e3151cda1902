#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

Descriptor SampleDescriptor(char digit) {
  return {kImageManifestMediaType,
          "sha256:" + std::string(64, digit),
          17,
          kContainerArtifactType,
          {{"org.example.key", "value"}}};
}

ImageIndex SampleIndex() {
  return {kPodArtifactType, {SampleDescriptor('1'), SampleDescriptor('2')}, {{"a", "b"}}};
}

std::string ChangedIndex(const std::string& from, const std::string& to) {
  std::string text = json::Write(SampleIndex());
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

TEST(ImageIndexTest, WhatWasWrittenIsRead) {
  const Result<ImageIndex> index = Parse<ImageIndex>(json::Write(SampleIndex()), "index");

  ASSERT_THAT(index, IsOk());
  EXPECT_EQ(index->artifact_type, kPodArtifactType);
  EXPECT_EQ(index->manifests, SampleIndex().manifests);
  EXPECT_EQ(index->annotations, SampleIndex().annotations);
}

TEST(ImageIndexTest, RefusesFieldsThatAreNotWhatTheyShouldBe) {
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"\"schemaVersion\":2", "\"schemaVersion\":1"},
      {"\"schemaVersion\":2", "\"schemaVersion\":2.0"},
      {",\"schemaVersion\":2", ""},
      {"image.index.v1+json", "image.manifest.v1+json"},
      {"\"manifests\":[", "\"manifests\":[[],"},
      {"\"size\":17", "\"size\":-17"},
      {"\"size\":17", "\"size\":9223372036854775808"},
      {"\"size\":17", "\"size\":\"17\""},
      {"sha256:1", "sha256:"},
      {"sha256:1", "sha257:1"},
      {"sha256:11", "sha256:../11"},
      {"sha256:1", "sha256:A"},
      {"\"annotations\":{", "\"annotations\":{\"x\":1,"},
      {"\"annotations\":{", "\"annotations\":[],\"y\":{"},
      {"\"digest\":", "\"digest\":\"\",\"digest\":"},
  };
  for (const auto& [from, to] : changes) {
    EXPECT_THAT(Parse<ImageIndex>(ChangedIndex(from, to), "index"),
                StatusIs(Code::kDataLoss, HasSubstr("index")))
        << to;
  }
}

TEST(ImageManifestTest, WhatWasWrittenIsRead) {
  const ImageManifest manifest{
      kContainerArtifactType, SampleDescriptor('3'), {SampleDescriptor('4')}, {{"a", "b"}}};

  const Result<ImageManifest> read = Parse<ImageManifest>(json::Write(manifest), "manifest");

  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->artifact_type, manifest.artifact_type);
  EXPECT_EQ(read->config, manifest.config);
  EXPECT_EQ(read->layers, manifest.layers);
  EXPECT_EQ(read->annotations, manifest.annotations);
}

TEST(ImageManifestTest, RefusesAnIndexAndMoreLayersThanTheLimit) {
  ImageManifest manifest;
  manifest.config = SampleDescriptor('3');
  manifest.layers.assign(65, SampleDescriptor('4'));

  EXPECT_THAT(Parse<ImageManifest>(json::Write(manifest), "manifest"),
              StatusIs(Code::kDataLoss, HasSubstr("layers: more than 64")));
  EXPECT_THAT(Parse<ImageManifest>(json::Write(SampleIndex()), "manifest"),
              StatusIs(Code::kDataLoss));
}

TEST(ContainerConfigTest, WhatWasWrittenIsReadAndANameIsNeeded) {
  const Result<ContainerConfig> config = Parse<ContainerConfig>(
      json::Write(ContainerConfig{"app", "4bf1", "img:1", "img@sha256:0"}), "config");

  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->name + " " + config->id, "app 4bf1");
  EXPECT_EQ(config->image + " " + config->image_ref, "img:1 img@sha256:0");
  EXPECT_THAT(Parse<ContainerConfig>(R"({"id":"4bf1"})", "config"),
              StatusIs(Code::kDataLoss, HasSubstr("config: name: missing")));
}

}  // namespace
}  // namespace cryopod::archive::test
