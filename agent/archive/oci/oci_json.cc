#include "agent/archive/oci/oci_json.h"

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/sha256.h"

namespace cryopod::archive {
namespace {

constexpr size_t kManifestsMax = 1025;  // of a pod and its containers
constexpr size_t kLayersMax = 64;
constexpr size_t kAnnotationsMax = 256;

void DescribeAnnotations(json::Fields& fields, std::map<std::string, std::string>& annotations) {
  fields.OptionalNonEmpty("annotations", annotations);
  fields.AtMost("annotations", annotations.size(), kAnnotationsMax);
}

// schemaVersion and mediaType, which an index and a manifest share.
void DescribeHead(json::Fields& fields, const char* media_type) {
  uint32_t schema_version = 2;
  fields.Required("schemaVersion", schema_version);
  if (schema_version != 2) fields.Fail("schemaVersion", "not 2");
  std::string found = media_type;
  fields.Optional("mediaType", found);
  if (found != media_type) fields.Fail("mediaType", std::string("not ") + media_type);
}

}  // namespace

void Describe(json::Fields& fields, Descriptor& descriptor) {
  fields.Required("mediaType", descriptor.media_type);
  fields.Required("digest", descriptor.digest);
  fields.Required("size", descriptor.size_bytes);
  fields.OptionalNonEmpty("artifactType", descriptor.artifact_type);
  DescribeAnnotations(fields, descriptor.annotations);
  if (!fields.reading()) return;
  if (const Status digest = CheckDigest(descriptor.digest); !digest.ok()) {
    fields.Fail("digest", digest.message());
  }
  if (descriptor.size_bytes > uint64_t{INT64_MAX}) fields.Fail("size", "too large");
}

void Describe(json::Fields& fields, ImageIndex& index) {
  DescribeHead(fields, kImageIndexMediaType);
  fields.OptionalNonEmpty("artifactType", index.artifact_type);
  fields.Required("manifests", index.manifests);
  fields.AtMost("manifests", index.manifests.size(), kManifestsMax);
  DescribeAnnotations(fields, index.annotations);
}

void Describe(json::Fields& fields, ImageManifest& manifest) {
  DescribeHead(fields, kImageManifestMediaType);
  fields.Optional("artifactType", manifest.artifact_type);
  fields.Required("config", manifest.config);
  fields.Required("layers", manifest.layers);
  fields.AtMost("layers", manifest.layers.size(), kLayersMax);
  DescribeAnnotations(fields, manifest.annotations);
}

void Describe(json::Fields& fields, ContainerConfig& config) {
  fields.Required("name", config.name);
  fields.Optional("id", config.id);
  fields.Optional("image", config.image);
  fields.Optional("imageRef", config.image_ref);
}

}  // namespace cryopod::archive
