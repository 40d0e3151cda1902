#include "agent/checkpoint/archive_pod.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <mutex>

#include "agent/archive/oci/media_types.h"
#include "agent/checkpoint/cancellation.h"
#include "agent/checkpoint/external_files.h"
#include "agent/criu/images/rewrite_images.h"
#include "agent/json/value.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

constexpr size_t kMetadataFileBytesMax = size_t{16} << 20;
// A log grows with what it tells of; its end tells how the dump went.
constexpr size_t kLogTailBytes = size_t{4} << 20;
constexpr std::chrono::milliseconds kProgressInterval{100};

class ProgressMeter {
 public:
  ProgressMeter(const jobs::EventLog& events, uint64_t total, Deadline deadline)
      : events_(events), total_(total), deadline_(deadline) {}

  Status Add(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < kProgressInterval && done_ < total_) return Status();
    last_ = now;
    events_.Append({"archive", "", std::min(done_, total_), total_});
    return CheckMayGoOn(deadline_);
  }

 private:
  const jobs::EventLog& events_;
  const uint64_t total_;
  const Deadline deadline_;
  std::mutex mutex_;  // guards what follows and keeps reports in order
  uint64_t done_ = 0;
  std::chrono::steady_clock::time_point last_;
};

// The spec stands in the bundle, of which the root file system is a part. A runtime that lays its
// bundles out otherwise yields an archive without spec.dump, which only inspection tools miss, and
// without a record of its programs.
std::string SpecOf(const DumpTarget& target) {
  const auto path = std::filesystem::path(target.state.rootfs).replace_filename("config.json");
  Result<std::string> spec = ReadFile(path, kMetadataFileBytesMax);
  return spec.ok() ? std::move(spec).value() : "{}";
}

Result<archive::ContainerParts> ArchiveContainer(const PreparedDump& dump,
                                                 const std::string& created,
                                                 archive::ArchiveWriter& writer,
                                                 ProgressMeter& meter) {
  const DumpTarget& target = *dump.target;
  std::map<std::string, std::string> metadata =
      ContainerMetadata(target.requested, SpecOf(target), created);
  CRYOPOD_ASSIGN_OR_RETURN(metadata["dump.log"],
                           ReadTailAt(dump.work_dir.get(), "dump.log", kLogTailBytes));
  CRYOPOD_ASSIGN_OR_RETURN(metadata["stats-dump"],
                           ReadFileAt(dump.work_dir.get(), "stats-dump", kMetadataFileBytesMax));
  const auto progress = [&meter](uint64_t bytes) { return meter.Add(bytes); };
  archive::ContainerParts layers;
  layers.name = target.requested.name;
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

archive::PodCheckpoint DescribePod(const jobs::CheckpointJob& job, const ResolvedPod& pod,
                                   const Machine& machine, const std::string& criu_version) {
  archive::PodCheckpoint checkpoint;
  checkpoint.pod_name = job.pod_name;
  checkpoint.pod_namespace = job.pod_namespace;
  checkpoint.pod_uid = job.pod_uid;
  checkpoint.sandbox_id = job.sandbox_id;
  checkpoint.runtime_handler = job.runtime_handler;
  checkpoint.hostname = pod.hostname;
  checkpoint.shares_pid_namespace = pod.shares_pid_namespace;
  checkpoint.restore_once = job.restore_once;
  const bool is_v2 = pod.targets.front().cgroup.version() == CgroupVersion::kV2;
  checkpoint.node = {machine, criu_version, job.runtime_name, job.runtime_version};
  checkpoint.node.cgroup_version = is_v2 ? "v2" : "v1";
  checkpoint.finished = job.finished;
  for (const DumpTarget& target : pod.targets) {
    archive::ContainerCheckpoint& container = checkpoint.containers.emplace_back();
    container.name = target.requested.name;
    container.id = target.requested.id;
    container.image = target.requested.image;
    container.image_ref = target.requested.image_ref;
    container.image_id = target.requested.image_id;
    const Result<json::Value> config = json::Parse(SpecOf(target));
    if (config.ok()) container.program = archive::DescribeProgram(*config);
    container.mounts = target.requested.mounts;
  }
  return checkpoint;
}

std::map<std::string, std::string> ContainerMetadata(const jobs::RequestedContainer& container,
                                                     const std::string& spec_json,
                                                     const std::string& created) {
  const std::string created_at = FormatTime(std::chrono::nanoseconds(container.created_at_ns));
  static constexpr char kNever[] = "0001-01-01T00:00:00Z";
  const json::Value config{json::Value::Object{{"id", {container.id}},
                                               {"name", {container.name}},
                                               {"rootfsImage", {container.image}},
                                               {"rootfsImageRef", {container.image_ref}},
                                               {"rootfsImageName", {container.image}},
                                               {"runtime", {"runc"}},
                                               {"createdTime", {created_at}},
                                               {"checkpointedTime", {created}},
                                               {"restoredTime", {kNever}},
                                               {"restored", {false}}}};
  const json::Value status{json::Value::Object{{"CreatedAt", {container.created_at_ns}},
                                               {"StartedAt", {container.created_at_ns}},
                                               {"FinishedAt", {int64_t{0}}},
                                               {"ExitCode", {int64_t{0}}},
                                               {"Pid", {int64_t{0}}},
                                               {"Reason", {""}},
                                               {"Message", {""}}}};
  return {{"config.dump", json::Format(config, 2)},
          {"status", json::Format(status, 2)},
          {"status.dump", container.status_json},
          {"spec.dump", spec_json},
          {"container-config.json", container.config_json}};
}

std::map<std::string, std::string> PodMetadata(const jobs::CheckpointJob& job) {
  json::Value options{json::Value::Object{{"version", {int64_t{1}}},
                                          {"containers", {json::Value::Object()}},
                                          {"annotations", {json::Value::Object()}}}};
  for (const jobs::RequestedContainer& container : job.containers) {
    options.Make("containers").Make(container.name).value = container.id + "-" + container.name;
  }
  return {{"pod.dump", job.sandbox_config_json}, {"pod.options", json::Format(options, 2)}};
}

Result<ArchivedPod> ArchivePod(const jobs::CheckpointJob& job,
                               const std::vector<PreparedDump>& dumps,
                               archive::PodCheckpoint& checkpoint, archive::ArchiveWriter& writer,
                               const jobs::EventLog& events, Deadline deadline) {
  uint64_t total_bytes = 0;
  for (size_t i = 0; i < dumps.size(); ++i) {
    archive::ContainerCheckpoint& container = checkpoint.containers[i];
    CRYOPOD_ASSIGN_OR_RETURN(container.images_bytes, FilesBytes(dumps[i].images_dir.get()));
    total_bytes += container.images_bytes + container.rootfs_bytes;
    Result<std::vector<archive::ExternalFile>> files =
        ReadExternalFiles(*dumps[i].target, dumps[i].images_dir.get());
    // It is CRIU's own word of just now: nobody's archive is damaged.
    if (!files.ok()) return Status(Code::kInternal, files.status().message());
    container.external_files = std::move(files).value();
  }
  ProgressMeter meter(events, total_bytes, deadline);
  checkpoint.created = NowText();
  ArchivedPod archived;
  for (const PreparedDump& dump : dumps) {
    CRYOPOD_ASSIGN_OR_RETURN(archive::ContainerParts layers,
                             ArchiveContainer(dump, checkpoint.created, writer, meter)
                                 .While("archiving container " + dump.target->requested.name));
    archived.containers.push_back(std::move(layers));
  }
  CRYOPOD_ASSIGN_OR_RETURN(archived.pod_metadata,
                           writer.PackMemory(PodMetadata(job), archive::kMetadataLayerMediaType));
  return archived;
}

}  // namespace cryopod::checkpoint
