#include "agent/archive/oci/pod_checkpoint.h"

#include <limits>
#include <set>

#include "agent/json/fields.h"

namespace cryopod {

// Found by the namespace of what it describes.
static void Describe(json::Fields& fields, RecordLock& lock) {
  constexpr uint64_t kOffsetMax = std::numeric_limits<int64_t>::max();
  fields.Optional("pid", lock.pid);
  fields.Optional("fd", lock.fd);
  fields.Optional("exclusive", lock.exclusive);
  fields.Optional("start", lock.start);
  fields.Optional("length", lock.length);
  if (lock.start > kOffsetMax || lock.length > kOffsetMax - lock.start) {
    fields.Fail("length", "reaches beyond any file");
  }
}

}  // namespace cryopod

namespace cryopod::archive {
namespace {

constexpr size_t kContainersMax = 1024;
constexpr size_t kListMax = 8192;
constexpr size_t kCpuWordsMax = 256;

const char* Hexadecimal(std::string_view text) {
  const bool fits = !text.empty() && text.size() <= 16 &&
                    text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return fits ? nullptr : "is no hexadecimal word";
}

// Of the containers that ran and those that had finished: a name is one or the other.
void CheckNames(json::Fields& fields, const PodCheckpoint& checkpoint) {
  std::set<std::string> names;
  const auto check = [&](const char* key, const auto& containers) {
    for (const auto& container : containers) {
      if (!names.insert(container.name).second) {
        fields.Fail(key, "name: \"" + container.name + "\" stands twice");
      }
    }
  };
  check("containers", checkpoint.containers);
  check("finished", checkpoint.finished);
}

// Before anything else: what a newer program wrote need not have our fields.
Status CheckSchemaVersion(const json::Value& document) {
  uint64_t version = 0;
  json::Fields fields(document, "PodCheckpoint");
  fields.Required("schemaVersion", version);
  if (version == 0) fields.Fail("schemaVersion", "0");
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  if (version <= static_cast<uint64_t>(kSchemaVersion)) return Status();
  return Status(Code::kUnimplemented, "PodCheckpoint: schema version " + std::to_string(version) +
                                          " is newer than what this program reads (" +
                                          std::to_string(kSchemaVersion) +
                                          "); use a newer cryopod");
}

}  // namespace

void Describe(json::Fields& fields, NodeFacts& node) {
  fields.Optional("architecture", node.architecture, json::Text);
  fields.Optional("kernel", node.kernel, json::Text);
  fields.Optional("cgroupVersion", node.cgroup_version, json::Text);
  fields.Optional("criuVersion", node.criu_version, json::Text);
  fields.Optional("runtimeName", node.runtime_name, json::Text);
  fields.Optional("runtimeVersion", node.runtime_version, json::Text);
  fields.Optional("cpuFlags", node.cpu_flags, json::Text);
  fields.AtMost("cpuFlags", node.cpu_flags.size(), kListMax);
  fields.OptionalNonEmpty("cpu", node.cpu, Hexadecimal);
  fields.AtMost("cpu", node.cpu.size(), kCpuWordsMax);
  for (const auto& [word, bits] : node.cpu) {
    if (json::Name(word) != nullptr) fields.Fail("cpu", "a word without a proper name");
  }
}

void Describe(json::Fields& fields, ExternalFile& file) {
  fields.Optional("mountPoint", file.mount_point, json::Text);
  fields.Optional("path", file.path, json::Text);
  fields.Optional("volume", file.volume, json::Text);
  fields.Optional("regular", file.regular);
  fields.Optional("sizeBytes", file.size_bytes);
  fields.Optional("exact", file.exact);
}

void Describe(json::Fields& fields, ContainerCheckpoint& container) {
  fields.Required("name", container.name, json::Name);
  fields.Optional("id", container.id, json::Identifier);
  fields.Optional("image", container.image, json::Text);
  fields.Optional("imageRef", container.image_ref, json::Text);
  fields.OptionalNonEmpty("imageId", container.image_id, json::Text);
  fields.OptionalNonEmpty("program", container.program);
  fields.Optional("tasks", container.tasks);
  fields.Optional("processes", container.processes);
  fields.Optional("imagesBytes", container.images_bytes);
  fields.Optional("rootfsBytes", container.rootfs_bytes);
  fields.Optional("mounts", container.mounts);
  fields.AtMost("mounts", container.mounts.size(), kListMax);
  fields.Optional("recordLocks", container.record_locks);
  fields.AtMost("recordLocks", container.record_locks.size(), kRecordLocksMax);
  fields.Optional("externalFiles", container.external_files);
  fields.AtMost("externalFiles", container.external_files.size(), kExternalFilesMax);
}

void Describe(json::Fields& fields, PodCheckpoint& checkpoint) {
  fields.Required("schemaVersion", checkpoint.schema_version);
  fields.Optional("created", checkpoint.created, json::Text);
  fields.Required("podName", checkpoint.pod_name, json::Name);
  fields.Required("podNamespace", checkpoint.pod_namespace, json::Name);
  fields.Optional("podUid", checkpoint.pod_uid, json::Identifier);
  fields.Optional("sandboxId", checkpoint.sandbox_id, json::Identifier);
  fields.Optional("runtimeHandler", checkpoint.runtime_handler, json::Text);
  fields.Optional("hostname", checkpoint.hostname, json::Text);
  fields.Optional("sharesPidNamespace", checkpoint.shares_pid_namespace);
  fields.Optional("restoreOnce", checkpoint.restore_once);
  fields.Required("node", checkpoint.node);
  fields.Required("containers", checkpoint.containers);
  fields.AtMost("containers", checkpoint.containers.size(), kContainersMax);
  fields.Optional("finished", checkpoint.finished);
  fields.AtMost("finished", checkpoint.finished.size(), kContainersMax);
  fields.Optional("phases", checkpoint.phases);
  fields.AtMost("phases", checkpoint.phases.size(), kListMax);
  fields.Optional("freezeUs", checkpoint.freeze_us);
  fields.Optional("lacks", checkpoint.lacks, json::Text);
  fields.AtMost("lacks", checkpoint.lacks.size(), kListMax);
  if (fields.reading()) CheckNames(fields, checkpoint);
}

void Describe(json::Fields& fields, MountRecord& mount) {
  fields.Optional("destination", mount.destination, json::Text);
  fields.Optional("source", mount.source, json::Text);
  fields.Optional("readOnly", mount.read_only);
}

void Describe(json::Fields& fields, FinishedContainer& container) {
  fields.Required("name", container.name, json::Name);
  fields.Optional("image", container.image, json::Text);
  fields.Optional("imageRef", container.image_ref, json::Text);
}

void Describe(json::Fields& fields, PhaseTiming& phase) {
  fields.Optional("name", phase.name, json::Text);
  fields.Optional("durationUs", phase.duration_us);
}

std::string ToJson(const PodCheckpoint& checkpoint) { return json::Write(checkpoint); }

Result<PodCheckpoint> ParsePodCheckpoint(std::string_view text) {
  const Result<json::Value> document = json::Parse(text);
  if (!document.ok()) return document.status().While("PodCheckpoint");
  CRYOPOD_RETURN_IF_ERROR(CheckSchemaVersion(*document));
  PodCheckpoint checkpoint;
  json::Fields fields(*document, "PodCheckpoint");
  Describe(fields, checkpoint);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  return checkpoint;
}

}  // namespace cryopod::archive
