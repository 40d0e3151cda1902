#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/store/archive_store.h"
#include "agent/archive/store/archive_writer.h"
#include "agent/os/file.h"
#include "tests/support/temp_directory.h"

namespace cryopod::daemon::test {

// The sandbox and container configurations that a sample archive recorded.
inline constexpr char kSamplePod[] =
    R"({"metadata":{"name":"web","namespace":"shop","uid":"old-uid","attempt":4},)"
    R"("hostname":"web","log_directory":"/var/log/pods/of-the-source"})";
inline std::string SampleContainerConfig(const std::string& name) {
  return R"({"metadata":{"name":")" + name + R"("},"image":{"image":"lab.local/)" + name +
         R"(:1"},"log_path":")" + name + R"(.log"})";
}

inline archive::PodCheckpoint SampleCheckpoint(const std::vector<std::string>& containers) {
  archive::PodCheckpoint checkpoint;
  checkpoint.created = "2026-11-24T22:00:00Z";
  checkpoint.pod_name = "web";
  checkpoint.pod_namespace = "shop";
  checkpoint.pod_uid = "old-uid";
  checkpoint.sandbox_id = "5a4db0c5";
  checkpoint.runtime_handler = "cryopod";
  checkpoint.hostname = "web";
  checkpoint.node = {{"x86_64", "6.18.0", "v2", {"sse2"}, {}}, "4.2.1", "containerd", "2.1.9"};
  for (const std::string& name : containers) {
    archive::ContainerCheckpoint container;
    container.name = name;
    container.id = "4bf1c0ffee" + name;
    container.image = "lab.local/" + name + ":1";
    container.image_ref = "sha256:" + std::string(64, 'a');
    container.tasks = 1;
    container.processes = 1;
    checkpoint.containers.push_back(container);
  }
  return checkpoint;
}

inline Result<archive::ContainerParts> PackSample(archive::ArchiveWriter& writer,
                                                  const std::string& name,
                                                  const std::string& config_json) {
  const cryopod::test::TempDirectory images;
  const cryopod::test::TempDirectory upper;
  std::ofstream(images.path() / "inventory.img") << "inventory of " << name;
  std::ofstream(upper.path() / "file") << "written by " << name;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd images_dir, OpenDirectory(images.path()));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd upper_dir, OpenDirectory(upper.path()));
  archive::ContainerParts layers;
  layers.name = name;
  CRYOPOD_ASSIGN_OR_RETURN(
      layers.metadata,
      writer.PackMemory({{"config.dump", R"({"name":")" + name + R"(","runtime":"runc"})"},
                         {"spec.dump", R"({"ociVersion":"1.2.0"})"},
                         {"status.dump", "{}"},
                         {"stats-dump", "stats"},
                         {"dump.log", "(00.001) Dumping finished successfully\n"},
                         {"container-config.json", config_json}},
                        archive::kMetadataLayerMediaType));
  CRYOPOD_ASSIGN_OR_RETURN(
      layers.criu_images,
      writer.PackFiles(images_dir.get(), archive::kCriuImagesLayerMediaType, nullptr));
  CRYOPOD_ASSIGN_OR_RETURN(layers.rootfs_diff, writer.PackOverlayUpper(upper_dir.get(), nullptr));
  return layers;
}

// A committed archive with these containers, as cryopod-checkpoint would leave it.
inline Result<archive::Archive> MakeSampleArchive(const std::string& store_root,
                                                  const std::string& name,
                                                  const std::vector<std::string>& containers,
                                                  const std::string& pod_dump = kSamplePod) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(store_root));
  CRYOPOD_ASSIGN_OR_RETURN(archive::ArchiveWriter writer, store.Create(name));
  CRYOPOD_ASSIGN_OR_RETURN(
      const archive::Descriptor pod,
      writer.PackMemory({{"pod.dump", pod_dump}, {"pod.options", R"({"version":1})"}},
                        archive::kMetadataLayerMediaType));
  std::vector<archive::ContainerParts> layers;
  for (const std::string& container : containers) {
    CRYOPOD_ASSIGN_OR_RETURN(archive::ContainerParts packed,
                             PackSample(writer, container, SampleContainerConfig(container)));
    layers.push_back(std::move(packed));
  }
  return std::move(writer).Commit(SampleCheckpoint(containers), pod, layers);
}

}  // namespace cryopod::daemon::test
