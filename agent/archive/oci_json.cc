#include "agent/archive/oci_json.h"

#include <nlohmann/json.hpp>

#include "agent/archive/media_types.h"
#include "agent/archive/strict_json.h"

namespace cryopod::archive {
namespace {

using nlohmann::json;

constexpr size_t kManifestsMax = 1025;  // of a pod and its containers
constexpr size_t kLayersMax = 64;
constexpr size_t kAnnotationsMax = 256;

std::string Dump(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

json DescriptorToJson(const Descriptor& descriptor) {
  json document = {{"mediaType", descriptor.media_type},
                   {"digest", descriptor.digest},
                   {"size", descriptor.size_bytes}};
  if (!descriptor.artifact_type.empty()) document["artifactType"] = descriptor.artifact_type;
  if (!descriptor.annotations.empty()) document["annotations"] = descriptor.annotations;
  return document;
}

void ReadAnnotations(JsonFields& fields, std::map<std::string, std::string>* annotations) {
  const JsonValue* object = fields.OptionalObject("annotations");
  if (object == nullptr) return;
  if (object->object()->size() > kAnnotationsMax) return fields.Fail("annotations", "too many");
  for (const JsonMember& member : *object->object()) {
    const auto* text = std::get_if<std::string>(&member.value.value);
    if (text == nullptr) return fields.Fail("annotations", "a value is not a string");
    annotations->emplace(member.key, *text);
  }
}

Status ReadDescriptor(const JsonValue& value, const std::string& where, Descriptor* descriptor) {
  JsonFields fields(value, where);
  fields.String("mediaType", &descriptor->media_type, 255);
  fields.String("digest", &descriptor->digest, 255);
  fields.Unsigned("size", &descriptor->size_bytes);
  fields.OptionalString("artifactType", &descriptor->artifact_type, 255);
  ReadAnnotations(fields, &descriptor->annotations);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  if (const Status digest = CheckDigest(descriptor->digest); !digest.ok()) {
    fields.Fail("digest", digest.message());
  }
  if (descriptor->size_bytes > uint64_t{INT64_MAX}) fields.Fail("size", "too large");
  return fields.status();
}

Status ReadDescriptors(const JsonValue::Array& array, const std::string& where,
                       std::vector<Descriptor>* descriptors) {
  for (const JsonValue& value : array) {
    Descriptor descriptor;
    CRYOPOD_RETURN_IF_ERROR(ReadDescriptor(
        value, where + "[" + std::to_string(descriptors->size()) + "]", &descriptor));
    descriptors->push_back(std::move(descriptor));
  }
  return Status();
}

// schemaVersion and mediaType, which an index and a manifest share.
void CheckHead(JsonFields& fields, const char* media_type) {
  uint64_t schema_version = 0;
  fields.Unsigned("schemaVersion", &schema_version);
  if (fields.status().ok() && schema_version != 2) fields.Fail("schemaVersion", "not 2");
  std::string found = media_type;
  fields.OptionalString("mediaType", &found, 255);
  if (found != media_type) fields.Fail("mediaType", std::string("not ") + media_type);
}

}  // namespace

std::string ToJson(const ImageIndex& index) {
  json manifests = json::array();
  for (const Descriptor& manifest : index.manifests) {
    manifests.push_back(DescriptorToJson(manifest));
  }
  json document = {{"schemaVersion", 2},
                   {"mediaType", kImageIndexMediaType},
                   {"manifests", std::move(manifests)}};
  if (!index.artifact_type.empty()) document["artifactType"] = index.artifact_type;
  if (!index.annotations.empty()) document["annotations"] = index.annotations;
  return Dump(document);
}

std::string ToJson(const ImageManifest& manifest) {
  json layers = json::array();
  for (const Descriptor& layer : manifest.layers) layers.push_back(DescriptorToJson(layer));
  json document = {{"schemaVersion", 2},
                   {"mediaType", kImageManifestMediaType},
                   {"artifactType", manifest.artifact_type},
                   {"config", DescriptorToJson(manifest.config)},
                   {"layers", std::move(layers)}};
  if (!manifest.annotations.empty()) document["annotations"] = manifest.annotations;
  return Dump(document);
}

std::string ToJson(const ContainerConfig& config) {
  return Dump({{"name", config.name},
               {"id", config.id},
               {"image", config.image},
               {"imageRef", config.image_ref}});
}

Status CheckLayoutJson(std::string_view text) {
  Result<JsonValue> document = ParseStrictJson(text);
  if (!document.ok()) return document.status().While("oci-layout");
  JsonFields fields(*document, "oci-layout");
  std::string version;
  fields.String("imageLayoutVersion", &version, 64);
  if (fields.status().ok() && version != "1.0.0") fields.Fail("imageLayoutVersion", "not 1.0.0");
  return fields.status();
}

Result<ImageIndex> ParseImageIndex(std::string_view text, const std::string& where) {
  Result<JsonValue> document = ParseStrictJson(text);
  if (!document.ok()) return document.status().While(where);
  ImageIndex index;
  JsonFields fields(*document, where);
  CheckHead(fields, kImageIndexMediaType);
  fields.OptionalString("artifactType", &index.artifact_type, 255);
  ReadAnnotations(fields, &index.annotations);
  const JsonValue::Array* manifests = fields.Array("manifests", kManifestsMax);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  CRYOPOD_RETURN_IF_ERROR(ReadDescriptors(*manifests, where + ": manifests", &index.manifests));
  return index;
}

Result<ImageManifest> ParseImageManifest(std::string_view text, const std::string& where) {
  Result<JsonValue> document = ParseStrictJson(text);
  if (!document.ok()) return document.status().While(where);
  ImageManifest manifest;
  JsonFields fields(*document, where);
  CheckHead(fields, kImageManifestMediaType);
  fields.OptionalString("artifactType", &manifest.artifact_type, 255);
  ReadAnnotations(fields, &manifest.annotations);
  const JsonValue* config = fields.Object("config");
  const JsonValue::Array* layers = fields.Array("layers", kLayersMax);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  CRYOPOD_RETURN_IF_ERROR(ReadDescriptor(*config, where + ": config", &manifest.config));
  CRYOPOD_RETURN_IF_ERROR(ReadDescriptors(*layers, where + ": layers", &manifest.layers));
  return manifest;
}

Result<ContainerConfig> ParseContainerConfig(std::string_view text, const std::string& where) {
  Result<JsonValue> document = ParseStrictJson(text);
  if (!document.ok()) return document.status().While(where);
  ContainerConfig config;
  JsonFields fields(*document, where);
  fields.String("name", &config.name, 253);
  fields.OptionalString("id", &config.id);
  fields.OptionalString("image", &config.image);
  fields.OptionalString("imageRef", &config.image_ref);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  return config;
}

}  // namespace cryopod::archive
