#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/json/fields.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// The JSON documents of an image layout, written canonically and read as hostile input.
//
// Source  OCI image-spec v1.1: image-layout.md, image-index.md, manifest.md, descriptor.md.

// Content of the file "oci-layout".
inline constexpr char kLayoutJson[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

// A content-addressed blob.
struct Descriptor {
  std::string media_type;
  std::string digest;  // "sha256:<64 lower-case hex digits>", nothing else is accepted
  uint64_t size_bytes = 0;
  std::string artifact_type = {};
  std::map<std::string, std::string> annotations = {};

  bool operator==(const Descriptor&) const = default;
};

struct ImageIndex {
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::map<std::string, std::string> annotations;
};

struct ImageManifest {
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::map<std::string, std::string> annotations;
};

// The "config" of a container's manifest.
struct ContainerConfig {
  std::string name;
  std::string id;
  std::string image;
  std::string image_ref;
};

void Describe(json::Fields& fields, Descriptor& descriptor);
void Describe(json::Fields& fields, ImageIndex& index);
void Describe(json::Fields& fields, ImageManifest& manifest);
void Describe(json::Fields& fields, ContainerConfig& config);

// `where` names the document in errors. Errors: kDataLoss, names the member.
template <json::Described Document>
Result<Document> Parse(std::string_view text, const std::string& where) {
  Document document;
  CRYOPOD_RETURN_IF_ERROR(json::Read(text, where, document));
  return document;
}

}  // namespace cryopod::archive
