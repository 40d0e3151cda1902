#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/archive/oci/media_types.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/archive_store.h"
#include "agent/archive/store/archive_writer.h"
#include "agent/archive/unpack/unpack.h"
#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::archive::test {

using Kind = LayerEntry::Kind;
using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using cryopod::test::TempDirectory;
using cryopod::test::WriteText;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The program under test, built beside the tests.
inline const std::string kUnpackProgram = CRYOPOD_UNPACK_PROGRAM;

inline Deadline Soon() { return Deadline::After(std::chrono::seconds(60)); }

inline UniqueFd OpenPath(const std::filesystem::path& path, int flags = O_RDONLY | O_DIRECTORY) {
  Result<UniqueFd> fd = OpenAt(AT_FDCWD, path.string(), flags, 0600);
  if (!fd.ok()) {
    ADD_FAILURE() << fd.status().message();
    return UniqueFd();
  }
  return std::move(*fd);
}

// Every regular file beneath a directory: path from it → content.
inline std::map<std::string, std::string> ReadTree(const std::filesystem::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (!entry.is_regular_file()) continue;
    files[entry.path().lexically_relative(dir).string()] = ReadText(entry.path());
  }
  return files;
}

inline void WriteFiles(const std::filesystem::path& dir,
                       const std::map<std::string, std::string>& files) {
  std::filesystem::create_directories(dir);
  for (const auto& [name, content] : files) WriteText(dir / name, content);
}

inline std::string Flipped(std::string bytes, size_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  return bytes;
}

inline ByteSink SinkInto(std::string* bytes) {
  return [bytes](std::string_view piece) {
    bytes->append(piece);
    return Status();
  };
}

// Bytes that do not compress, the same for the same seed.
inline std::string Noise(size_t size, uint64_t seed) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    byte = static_cast<char>(seed >> 32);
  }
  return bytes;
}

inline ContainerCheckpoint SampleContainer(const std::string& name) {
  ContainerCheckpoint container;
  container.name = name;
  container.id = "4bf1c0ffee" + name;
  container.image = "example.org/" + name + ":1";
  container.image_ref = "example.org/" + name + "@sha256:" + std::string(64, 'a');
  container.tasks = 3;
  container.processes = 2;
  container.images_bytes = 12'345;
  container.rootfs_bytes = 678;
  container.mounts = {{"/etc/hosts", "/var/lib/pods/hosts", true}, {"/data", "/srv/data", false}};
  container.external_files = {{"/data", "db", "/srv/data", true, 4096, true},
                              {"/data", "d?", "/srv/data", false, 0, false}};
  return container;
}

inline PodCheckpoint SampleCheckpoint(const std::vector<std::string>& containers) {
  PodCheckpoint checkpoint;
  checkpoint.created = "2026-11-24T22:00:00Z";
  checkpoint.pod_name = "web-0";
  checkpoint.pod_namespace = "shop";
  checkpoint.pod_uid = "1d4f6b0a-7c55-4f0e-9b57-6f4f3c1e2a90";
  checkpoint.sandbox_id = "5a4db0c5";
  checkpoint.runtime_handler = "cryopod";
  checkpoint.hostname = "web-0";
  checkpoint.node = {{"x86_64", "6.18.0", "v2", {"avx", "sse2"}, {{"7.0.ebx", "20"}}},
                     "4.2.1",
                     "containerd",
                     "2.1.9"};
  for (const std::string& name : containers) {
    checkpoint.containers.push_back(SampleContainer(name));
  }
  checkpoint.phases = {{"freeze", 1500}, {"dump", 90'000}};
  checkpoint.freeze_us = 95'000;
  checkpoint.lacks = {"the emptyDir volume \"cache\""};
  return checkpoint;
}

// A store with room for sample archives of one container each, "app", or of those named.
class ArchiveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(store_, ArchiveStore::Open(store_path().string()));
  }

  std::filesystem::path store_path() const { return temp_.path() / "store"; }
  std::filesystem::path partial_path() const { return store_path() / ".partial"; }

  // The files that each container's CRIU images consist of.
  static std::map<std::string, std::string> SampleImages(const std::string& container) {
    return {{"inventory.img", "inventory of " + container},
            {"core-1.img", Noise(3000, 7)},
            {"pages-1.img", std::string(200'000, 'p') + Noise(50'000, container.size() + 1)},
            {"descriptors.json", "[\"/dev/null\",\"pipe:[1]\",\"pipe:[2]\"]"}};
  }
  static std::map<std::string, std::string> SampleMetadata(const std::string& container) {
    return {{"config.dump", R"({"id":"4bf1c0ffee00","name":")" + container +
                                R"(","rootfsImageName":"example.org/app:1","runtime":"runc",)"
                                R"("createdTime":"2026-11-24T21:00:00Z",)"
                                R"("checkpointedTime":"2026-11-24T22:00:00Z",)"
                                R"("restoredTime":"0001-01-01T00:00:00Z","restored":false})"},
            {"spec.dump", R"({"ociVersion":"1.2.0","annotations":{)"
                          R"("io.kubernetes.cri.container-name":")" +
                              container +
                              R"(","io.kubernetes.cri.sandbox-name":"web-0",)"
                              R"("io.kubernetes.cri.sandbox-namespace":"shop"}})"},
            {"status.dump", "{}"},
            {"stats-dump", "stats"},
            {"dump.log", "(00.001) Dumping finished successfully\n"},
            {"container-config.json", "{}"}};
  }

  ContainerParts PackContainer(ArchiveWriter& writer, const std::string& name) {
    Result<Descriptor> metadata = writer.PackMemory(SampleMetadata(name), kMetadataLayerMediaType);
    const auto images_path = temp_.path() / ("images-" + name);
    WriteFiles(images_path, SampleImages(name));
    Result<Descriptor> images =
        writer.PackFiles(OpenPath(images_path).get(), kCriuImagesLayerMediaType, nullptr);
    const auto upper_path = temp_.path() / ("upper-" + name);
    WriteFiles(upper_path / "var", {{"state", "written by " + name}});
    Result<Descriptor> rootfs = writer.PackOverlayUpper(OpenPath(upper_path).get(), nullptr);
    EXPECT_TRUE(metadata.ok() && images.ok() && rootfs.ok());
    if (!metadata.ok() || !images.ok() || !rootfs.ok()) return {};
    return {name, *metadata, *images, *rootfs};
  }

  // Commits sample layers, which `change` may change.
  using Change = std::function<void(ArchiveWriter& writer, std::vector<ContainerParts>& layers)>;
  Result<Archive> Commit(ArchiveWriter writer, const PodCheckpoint& checkpoint,
                         const std::vector<std::string>& containers = {"app"},
                         const Change& change = nullptr) {
    Result<Descriptor> pod = writer.PackMemory(
        {{"pod.dump", R"({"metadata":{"name":"web-0"}})"}, {"pod.options", R"({"version":1})"}},
        kMetadataLayerMediaType);
    if (!pod.ok()) return pod.status();
    std::vector<ContainerParts> layers;
    for (const std::string& name : containers) layers.push_back(PackContainer(writer, name));
    if (change) change(writer, layers);
    return std::move(writer).Commit(checkpoint, *pod, layers);
  }

  Result<Archive> MakeArchive(const std::string& name,
                              const std::vector<std::string>& containers = {"app"},
                              const Change& change = nullptr) {
    CRYOPOD_ASSIGN_OR_RETURN(ArchiveWriter writer, store_->Create(name));
    return Commit(std::move(writer), SampleCheckpoint(containers), containers, change);
  }

  Result<Archive> Open(const std::string& name) const { return store_->OpenArchive({name, ""}); }

  std::filesystem::path BlobPath(const std::string& archive, const Descriptor& blob) const {
    return store_path() / archive / "blobs" / "sha256" / DigestHex(blob.digest);
  }

  TempDirectory temp_;
  std::optional<ArchiveStore> store_;
};

}  // namespace cryopod::archive::test
