#include "agent/archive/pod_checkpoint.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/archive/strict_json.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

using nlohmann::json;

constexpr size_t kContainersMax = 1024;
constexpr size_t kListMax = 8192;
constexpr size_t kNameBytesMax = 253;

// Names, IDs and the like: what CRI and Kubernetes let through, and nothing that could end up as a
// path or a terminal escape.
bool IsIdentifier(std::string_view text) {
  if (text.size() > kNameBytesMax || text.starts_with('.')) return false;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}

bool IsPrintable(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

// JsonFields with the kinds of strings that stand in a PodCheckpoint.
class CheckpointFields : public JsonFields {
 public:
  using JsonFields::JsonFields;

  void Identifier(const char* key, std::string* out) {
    OptionalString(key, out);
    if (!IsIdentifier(*out)) Fail(key, "\"" + JsonEscape(out->substr(0, 80)) + "\" is no name");
  }
  void Name(const char* key, std::string* out) {
    String(key, out);
    Identifier(key, out);
    if (out->empty()) Fail(key, "empty");
  }
  void Text(const char* key, std::string* out) {
    OptionalString(key, out);
    if (!IsPrintable(*out)) Fail(key, "holds control characters");
  }
  void Texts(const char* key, std::vector<std::string>* out) {
    OptionalStrings(key, out, kListMax);
    for (const std::string& text : *out) {
      if (!IsPrintable(text)) Fail(key, "holds control characters");
    }
  }
  void Unsigned32(const char* key, uint32_t* out) {
    uint64_t wide = 0;
    OptionalUnsigned(key, &wide);
    if (wide > std::numeric_limits<uint32_t>::max()) Fail(key, "does not fit 32 bits");
    *out = static_cast<uint32_t>(wide);
  }
};

json NodeToJson(const NodeFacts& node) {
  return {{"architecture", node.architecture},
          {"kernel", node.kernel},
          {"cgroupVersion", node.cgroup_version},
          {"criuVersion", node.criu_version},
          {"runtimeName", node.runtime_name},
          {"runtimeVersion", node.runtime_version},
          {"cpuFlags", node.cpu_flags}};
}

json ContainerToJson(const ContainerCheckpoint& container) {
  json mounts = json::array();
  for (const MountRecord& mount : container.mounts) {
    mounts.push_back({{"destination", mount.destination},
                      {"source", mount.source},
                      {"readOnly", mount.read_only}});
  }
  json locks = json::array();
  for (const RecordLock& lock : container.record_locks) {
    locks.push_back({{"pid", lock.pid},
                     {"fd", lock.fd},
                     {"exclusive", lock.exclusive},
                     {"start", lock.start},
                     {"length", lock.length}});
  }
  json files = json::array();
  for (const ExternalFile& file : container.external_files) {
    files.push_back({{"mountPoint", file.mount_point},
                     {"path", file.path},
                     {"volume", file.volume},
                     {"regular", file.regular},
                     {"sizeBytes", file.size_bytes},
                     {"exact", file.exact}});
  }
  return {{"name", container.name},
          {"id", container.id},
          {"image", container.image},
          {"imageRef", container.image_ref},
          {"tasks", container.tasks},
          {"processes", container.processes},
          {"imagesBytes", container.images_bytes},
          {"rootfsBytes", container.rootfs_bytes},
          {"mounts", std::move(mounts)},
          {"recordLocks", std::move(locks)},
          {"externalFiles", std::move(files)}};
}

Status ReadNode(const JsonValue& value, NodeFacts* node) {
  CheckpointFields fields(value, "node");
  fields.Text("architecture", &node->architecture);
  fields.Text("kernel", &node->kernel);
  fields.Text("cgroupVersion", &node->cgroup_version);
  fields.Text("criuVersion", &node->criu_version);
  fields.Text("runtimeName", &node->runtime_name);
  fields.Text("runtimeVersion", &node->runtime_version);
  fields.Texts("cpuFlags", &node->cpu_flags);
  return fields.status();
}

Status ReadMounts(const JsonValue::Array& array, std::vector<MountRecord>* mounts) {
  for (const JsonValue& value : array) {
    CheckpointFields fields(value, "mounts[" + std::to_string(mounts->size()) + "]");
    MountRecord mount;
    fields.Text("destination", &mount.destination);
    fields.Text("source", &mount.source);
    fields.OptionalBool("readOnly", &mount.read_only);
    CRYOPOD_RETURN_IF_ERROR(fields.status());
    mounts->push_back(std::move(mount));
  }
  return Status();
}

Status ReadRecordLocks(const JsonValue::Array& array, std::vector<RecordLock>* locks) {
  constexpr uint64_t kOffsetMax = std::numeric_limits<int64_t>::max();
  for (const JsonValue& value : array) {
    CheckpointFields fields(value, "recordLocks[" + std::to_string(locks->size()) + "]");
    RecordLock lock;
    fields.Unsigned32("pid", &lock.pid);
    fields.Unsigned32("fd", &lock.fd);
    fields.OptionalBool("exclusive", &lock.exclusive);
    fields.OptionalUnsigned("start", &lock.start);
    fields.OptionalUnsigned("length", &lock.length);
    if (lock.start > kOffsetMax || lock.length > kOffsetMax - lock.start) {
      fields.Fail("length", "reaches beyond any file");
    }
    CRYOPOD_RETURN_IF_ERROR(fields.status());
    locks->push_back(lock);
  }
  return Status();
}

Status ReadExternalFiles(const JsonValue::Array& array, std::vector<ExternalFile>* files) {
  for (const JsonValue& value : array) {
    CheckpointFields fields(value, "externalFiles[" + std::to_string(files->size()) + "]");
    ExternalFile file;
    fields.Text("mountPoint", &file.mount_point);
    fields.Text("path", &file.path);
    fields.Text("volume", &file.volume);
    fields.OptionalBool("regular", &file.regular);
    fields.OptionalUnsigned("sizeBytes", &file.size_bytes);
    fields.OptionalBool("exact", &file.exact);
    CRYOPOD_RETURN_IF_ERROR(fields.status());
    files->push_back(std::move(file));
  }
  return Status();
}

Status ReadContainer(const JsonValue& value, const std::string& where,
                     ContainerCheckpoint* container) {
  CheckpointFields fields(value, where);
  fields.Name("name", &container->name);
  fields.Identifier("id", &container->id);
  fields.Text("image", &container->image);
  fields.Text("imageRef", &container->image_ref);
  fields.Unsigned32("tasks", &container->tasks);
  fields.Unsigned32("processes", &container->processes);
  fields.OptionalUnsigned("imagesBytes", &container->images_bytes);
  fields.OptionalUnsigned("rootfsBytes", &container->rootfs_bytes);
  const JsonValue::Array* mounts = fields.OptionalArray("mounts", kListMax);
  const JsonValue::Array* locks = fields.OptionalArray("recordLocks", kRecordLocksMax);
  const JsonValue::Array* files = fields.OptionalArray("externalFiles", kExternalFilesMax);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  if (mounts != nullptr) {
    CRYOPOD_RETURN_IF_ERROR(ReadMounts(*mounts, &container->mounts).While(where));
  }
  if (locks != nullptr) {
    CRYOPOD_RETURN_IF_ERROR(ReadRecordLocks(*locks, &container->record_locks).While(where));
  }
  if (files == nullptr) return Status();
  return ReadExternalFiles(*files, &container->external_files).While(where);
}

Status ReadContainers(const JsonValue::Array& array, std::vector<ContainerCheckpoint>* containers) {
  std::set<std::string> names;
  for (const JsonValue& value : array) {
    const std::string where = "containers[" + std::to_string(containers->size()) + "]";
    ContainerCheckpoint container;
    CRYOPOD_RETURN_IF_ERROR(ReadContainer(value, where, &container));
    if (!names.insert(container.name).second) {
      return Status(Code::kDataLoss, where + ": name: \"" + container.name + "\" stands twice");
    }
    containers->push_back(std::move(container));
  }
  return Status();
}

// `containers` are those that ran: a name is one or the other.
Status ReadFinished(const JsonValue::Array& array,
                    const std::vector<ContainerCheckpoint>& containers,
                    std::vector<FinishedContainer>* finished) {
  std::set<std::string> names;
  for (const ContainerCheckpoint& container : containers) names.insert(container.name);
  for (const JsonValue& value : array) {
    const std::string where = "finished[" + std::to_string(finished->size()) + "]";
    CheckpointFields fields(value, where);
    FinishedContainer container;
    fields.Name("name", &container.name);
    fields.Text("image", &container.image);
    fields.Text("imageRef", &container.image_ref);
    CRYOPOD_RETURN_IF_ERROR(fields.status());
    if (!names.insert(container.name).second) {
      return Status(Code::kDataLoss, where + ": name: \"" + container.name + "\" stands twice");
    }
    finished->push_back(std::move(container));
  }
  return Status();
}

Status ReadPhases(const JsonValue::Array& array, std::vector<PhaseTiming>* phases) {
  for (const JsonValue& value : array) {
    CheckpointFields fields(value, "phases[" + std::to_string(phases->size()) + "]");
    PhaseTiming phase;
    fields.Text("name", &phase.name);
    fields.OptionalUnsigned("durationUs", &phase.duration_us);
    CRYOPOD_RETURN_IF_ERROR(fields.status());
    phases->push_back(std::move(phase));
  }
  return Status();
}

// Before anything else: what a newer program wrote need not have our fields.
Status CheckSchemaVersion(JsonFields& fields, int* version) {
  uint64_t number = 0;
  fields.Unsigned("schemaVersion", &number);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  if (number == 0) return Status(Code::kDataLoss, "PodCheckpoint: schemaVersion: 0");
  if (number > static_cast<uint64_t>(kSchemaVersion)) {
    return Status(Code::kUnimplemented, "PodCheckpoint: schema version " + std::to_string(number) +
                                            " is newer than what this program reads (" +
                                            std::to_string(kSchemaVersion) +
                                            "); use a newer cryopod");
  }
  *version = static_cast<int>(number);
  return Status();
}

}  // namespace

std::string ToJson(const PodCheckpoint& checkpoint) {
  json containers = json::array();
  for (const ContainerCheckpoint& container : checkpoint.containers) {
    containers.push_back(ContainerToJson(container));
  }
  json finished = json::array();
  for (const FinishedContainer& container : checkpoint.finished) {
    finished.push_back(
        {{"name", container.name}, {"image", container.image}, {"imageRef", container.image_ref}});
  }
  json phases = json::array();
  for (const PhaseTiming& phase : checkpoint.phases) {
    phases.push_back({{"name", phase.name}, {"durationUs", phase.duration_us}});
  }
  const json document = {{"schemaVersion", checkpoint.schema_version},
                         {"created", checkpoint.created},
                         {"podName", checkpoint.pod_name},
                         {"podNamespace", checkpoint.pod_namespace},
                         {"podUid", checkpoint.pod_uid},
                         {"sandboxId", checkpoint.sandbox_id},
                         {"runtimeHandler", checkpoint.runtime_handler},
                         {"hostname", checkpoint.hostname},
                         {"sharesPidNamespace", checkpoint.shares_pid_namespace},
                         {"node", NodeToJson(checkpoint.node)},
                         {"containers", std::move(containers)},
                         {"finished", std::move(finished)},
                         {"phases", std::move(phases)},
                         {"freezeUs", checkpoint.freeze_us},
                         {"lacks", checkpoint.lacks}};
  // Paths of a container may be any bytes; JSON may not.
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<PodCheckpoint> ParsePodCheckpoint(std::string_view text) {
  Result<JsonValue> document = ParseStrictJson(text);
  if (!document.ok()) return document.status().While("PodCheckpoint");
  PodCheckpoint checkpoint;
  CheckpointFields fields(*document, "PodCheckpoint");
  CRYOPOD_RETURN_IF_ERROR(CheckSchemaVersion(fields, &checkpoint.schema_version));
  fields.Text("created", &checkpoint.created);
  fields.Name("podName", &checkpoint.pod_name);
  fields.Name("podNamespace", &checkpoint.pod_namespace);
  fields.Identifier("podUid", &checkpoint.pod_uid);
  fields.Identifier("sandboxId", &checkpoint.sandbox_id);
  fields.Text("runtimeHandler", &checkpoint.runtime_handler);
  fields.Text("hostname", &checkpoint.hostname);
  fields.OptionalBool("sharesPidNamespace", &checkpoint.shares_pid_namespace);
  fields.OptionalUnsigned("freezeUs", &checkpoint.freeze_us);
  fields.Texts("lacks", &checkpoint.lacks);
  const JsonValue* node = fields.Object("node");
  const JsonValue::Array* containers = fields.Array("containers", kContainersMax);
  const JsonValue::Array* finished = fields.OptionalArray("finished", kContainersMax);
  const JsonValue::Array* phases = fields.OptionalArray("phases", kListMax);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  CRYOPOD_RETURN_IF_ERROR(ReadNode(*node, &checkpoint.node).While("PodCheckpoint"));
  CRYOPOD_RETURN_IF_ERROR(
      ReadContainers(*containers, &checkpoint.containers).While("PodCheckpoint"));
  if (finished != nullptr) {
    CRYOPOD_RETURN_IF_ERROR(ReadFinished(*finished, checkpoint.containers, &checkpoint.finished)
                                .While("PodCheckpoint"));
  }
  if (phases == nullptr) return checkpoint;
  CRYOPOD_RETURN_IF_ERROR(ReadPhases(*phases, &checkpoint.phases).While("PodCheckpoint"));
  return checkpoint;
}

}  // namespace cryopod::archive
