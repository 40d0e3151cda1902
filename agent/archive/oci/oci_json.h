#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/archive/oci/descriptor.h"
#include "agent/json/fields.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// The JSON documents of an image layout, written canonically and read as hostile input.
//
// Source  OCI image-spec v1.1: image-layout.md, image-index.md, manifest.md, descriptor.md.
// Errors  of all Parse functions: kDataLoss, names the member.

// Content of the file "oci-layout".
inline constexpr char kLayoutJson[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

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

std::string ToJson(const ImageIndex& index);
std::string ToJson(const ImageManifest& manifest);
std::string ToJson(const ContainerConfig& config);

Status CheckLayoutJson(std::string_view text);
// `where` names the document in errors.
Result<ImageIndex> ParseImageIndex(std::string_view text, const std::string& where);
Result<ImageManifest> ParseImageManifest(std::string_view text, const std::string& where);
Result<ContainerConfig> ParseContainerConfig(std::string_view text, const std::string& where);

}  // namespace cryopod::archive
