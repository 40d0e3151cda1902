#include "agent/archive/oci/oci_json.h"

#include <gtest/gtest.h>

#include "agent/archive/oci/media_types.h"
#include "tests/support/status_matchers.h"

namespace cryopod::archive {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

Descriptor SampleDescriptor(char digit) {
  Descriptor descriptor;
  descriptor.media_type = kImageManifestMediaType;
  descriptor.digest = "sha256:" + std::string(64, digit);
  descriptor.size_bytes = 17;
  descriptor.artifact_type = kContainerArtifactType;
  descriptor.annotations = {{"org.example.key", "value"}};
  return descriptor;
}

ImageIndex SampleIndex() {
  ImageIndex index;
  index.artifact_type = kPodArtifactType;
  index.manifests = {SampleDescriptor('1'), SampleDescriptor('2')};
  index.annotations = {{"a", "b"}};
  return index;
}

std::string ChangedIndex(const std::string& from, const std::string& to) {
  std::string text = ToJson(SampleIndex());
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

TEST(ImageIndexTest, WhatWasWrittenIsRead) {
  const Result<ImageIndex> index = ParseImageIndex(ToJson(SampleIndex()), "index");

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
    EXPECT_THAT(ParseImageIndex(ChangedIndex(from, to), "index"),
                StatusIs(Code::kDataLoss, HasSubstr("index")))
        << to;
  }
}

TEST(ImageManifestTest, WhatWasWrittenIsRead) {
  ImageManifest manifest;
  manifest.artifact_type = kContainerArtifactType;
  manifest.config = SampleDescriptor('3');
  manifest.layers = {SampleDescriptor('4')};
  manifest.annotations = {{"a", "b"}};

  const Result<ImageManifest> read = ParseImageManifest(ToJson(manifest), "manifest");

  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->artifact_type, manifest.artifact_type);
  EXPECT_EQ(read->config, manifest.config);
  EXPECT_EQ(read->layers, manifest.layers);
  EXPECT_EQ(read->annotations, manifest.annotations);
}

TEST(ImageManifestTest, AnIndexIsNoManifest) {
  EXPECT_THAT(ParseImageManifest(ToJson(SampleIndex()), "manifest"), StatusIs(Code::kDataLoss));
}

TEST(ImageManifestTest, RefusesMoreLayersThanTheLimit) {
  ImageManifest manifest;
  manifest.config = SampleDescriptor('3');
  manifest.layers.assign(65, SampleDescriptor('4'));

  EXPECT_THAT(ParseImageManifest(ToJson(manifest), "manifest"),
              StatusIs(Code::kDataLoss, HasSubstr("layers: more than 64")));
}

TEST(ContainerConfigTest, WhatWasWrittenIsRead) {
  const Result<ContainerConfig> config = ParseContainerConfig(
      ToJson(ContainerConfig{"app", "4bf1", "img:1", "img@sha256:0"}), "config");

  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->name, "app");
  EXPECT_EQ(config->id, "4bf1");
  EXPECT_EQ(config->image, "img:1");
  EXPECT_EQ(config->image_ref, "img@sha256:0");
}

TEST(ContainerConfigTest, NeedsAName) {
  EXPECT_THAT(ParseContainerConfig(R"({"id":"4bf1"})", "config"),
              StatusIs(Code::kDataLoss, HasSubstr("config: name: missing")));
}

TEST(CheckLayoutJsonTest, TakesVersionOneAlone) {
  EXPECT_THAT(CheckLayoutJson(kLayoutJson), IsOk());
  EXPECT_THAT(CheckLayoutJson(R"({"imageLayoutVersion":"2.0.0"})"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(CheckLayoutJson("{}"), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::archive
