#include "agent/checkpoint/archive_pod.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>

#include "agent/archive/oci/media_types.h"
#include "agent/checkpoint/cancellation.h"
#include "agent/checkpoint/describe_pod.h"
#include "agent/checkpoint/external_files.h"
#include "agent/criu/images/rewrite_images.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

constexpr size_t kMetadataFileBytesMax = size_t{16} << 20;
constexpr std::chrono::milliseconds kProgressInterval{100};

class ProgressMeter {
 public:
  ProgressMeter(const ArchiveProgress& report, uint64_t total) : report_(report), total_(total) {}

  Status Add(uint64_t bytes) {
    const uint64_t done = done_ += bytes;
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < kProgressInterval && done < total_) return Status();
    last_ = now;
    report_(done < total_ ? done : total_, total_);
    return CheckNotCancelled();
  }

 private:
  const ArchiveProgress& report_;
  const uint64_t total_;
  std::atomic<uint64_t> done_ = 0;
  std::mutex mutex_;  // guards last_ and keeps reports in order
  std::chrono::steady_clock::time_point last_;
};

// The spec stands in the bundle, of which the root file system is a part. A runtime that lays its
// bundles out otherwise yields an archive without spec.dump, which only inspection tools miss.
std::string SpecOf(const DumpTarget& target) {
  const size_t slash = target.state.rootfs.rfind('/');
  if (slash == std::string::npos) return "{}";
  Result<std::string> spec =
      ReadFile(target.state.rootfs.substr(0, slash) + "/config.json", kMetadataFileBytesMax);
  return spec.ok() ? std::move(spec).value() : "{}";
}

std::map<std::string, std::string> Annotations(const jobs::CheckpointJob& job,
                                               const DumpTarget& target,
                                               const archive::NodeFacts& node) {
  const jobs::RequestedContainer& container = target.requested;
  return {{archive::kContainerNameAnnotation, container.name},
          {archive::kCrioNameAnnotation, container.name},
          {archive::kPodNameAnnotation, job.pod_name},
          {archive::kPodNamespaceAnnotation, job.pod_namespace},
          {archive::kPodUidAnnotation, job.pod_uid},
          {archive::kPodIdAnnotation, job.sandbox_id},
          {archive::kEngineNameAnnotation, "cryopod"},
          {archive::kCriuVersionAnnotation, node.criu_version},
          {archive::kRuntimeNameAnnotation, node.runtime_name},
          {archive::kRuntimeVersionAnnotation, node.runtime_version},
          {archive::kHostArchAnnotation, node.architecture},
          {archive::kHostKernelAnnotation, node.kernel},
          {archive::kCgroupVersionAnnotation, node.cgroup_version},
          {archive::kRootfsImageNameAnnotation, container.image}};
}

Result<archive::ContainerLayers> ArchiveContainer(
    const jobs::CheckpointJob& job, const PreparedDump& dump, const std::string& created,
    const archive::NodeFacts& node, archive::ArchiveWriter& writer, ProgressMeter& meter) {
  const DumpTarget& target = *dump.target;
  std::map<std::string, std::string> metadata =
      ContainerMetadata(target.requested, "runc", SpecOf(target), created);
  for (const char* name : {"dump.log", "stats-dump"}) {
    CRYOPOD_ASSIGN_OR_RETURN(metadata[name],
                             ReadFileAt(dump.work_dir.get(), name, kMetadataFileBytesMax));
  }
  const auto progress = [&meter](uint64_t bytes) { return meter.Add(bytes); };
  archive::ContainerLayers layers;
  layers.name = target.requested.name;
  layers.annotations = Annotations(job, target, node);
  CRYOPOD_ASSIGN_OR_RETURN(layers.metadata,
                           writer.PackMemory(metadata, archive::kMetadataLayerMediaType));
  CRYOPOD_RETURN_IF_ERROR(criu::MendTimers(dump.images_dir.get()));
  CRYOPOD_ASSIGN_OR_RETURN(
      layers.criu_images,
      writer.PackFiles(dump.images_dir.get(), archive::kCriuImagesLayerMediaType, progress));
  CRYOPOD_ASSIGN_OR_RETURN(layers.rootfs_diff,
                           writer.PackOverlayUpper(dump.rootfs_dir.get(), progress));
  return layers;
}

}  // namespace

Result<ArchivedPod> ArchivePod(const jobs::CheckpointJob& job, const ResolvedPod& pod,
                               const std::vector<PreparedDump>& dumps,
                               const std::vector<CapturedContainer>& captured,
                               archive::NodeFacts node, archive::ArchiveWriter& writer,
                               const ArchiveProgress& progress) {
  ArchivedPod archived;
  std::vector<uint64_t> sizes_bytes;
  for (size_t i = 0; i < dumps.size(); ++i) {
    CRYOPOD_ASSIGN_OR_RETURN(const uint64_t bytes, FilesBytes(dumps[i].images_dir.get()));
    sizes_bytes.push_back(bytes);
    archived.captured_bytes += bytes + captured[i].rootfs_bytes;
  }
  ProgressMeter meter(progress, archived.captured_bytes);
  const std::string created = NowText();
  for (const PreparedDump& dump : dumps) {
    CRYOPOD_ASSIGN_OR_RETURN(archive::ContainerLayers layers,
                             ArchiveContainer(job, dump, created, node, writer, meter)
                                 .While("archiving container " + dump.target->requested.name));
    archived.containers.push_back(std::move(layers));
  }
  CRYOPOD_ASSIGN_OR_RETURN(archived.pod_metadata,
                           writer.PackMemory(PodMetadata(job), archive::kMetadataLayerMediaType));
  archived.checkpoint = DescribePod(job, pod, captured, sizes_bytes, std::move(node), created);
  for (size_t i = 0; i < dumps.size(); ++i) {
    Result<std::vector<archive::ExternalFile>> files =
        ReadExternalFiles(pod.targets[i], dumps[i].images_dir.get());
    // It is CRIU's own word of just now: nobody's archive is damaged.
    if (!files.ok()) return Status(Code::kInternal, files.status().message());
    archived.checkpoint.containers[i].external_files = std::move(files).value();
  }
  return archived;
}

}  // namespace cryopod::checkpoint
