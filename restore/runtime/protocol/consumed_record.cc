#include "restore/runtime/protocol/consumed_record.h"

#include <vector>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"
#include "restore/runtime/protocol/key_values.h"

namespace cryopod::wrapper {
namespace {

constexpr char kDirectoryName[] = "consumed";
constexpr char kCold[] = ".cold";
constexpr char kSkipped[] = ".skipped";

std::string PodDirectory(const std::string& state_dir, const std::string& pod_uid) {
  return state_dir + "/" + kDirectoryName + "/" + pod_uid;
}

Status SyncDirectory(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(path));
  return Sync(dir.get(), path);
}

// `name` is a container's, or one of a record of the whole pod.
Status Write(const std::string& state_dir, const std::string& pod_uid, const std::string& name,
             ConsumedRecord record) {
  if (record.time.empty()) record.time = NowText();
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           FormatKeyValues({{"restore_from", record.restore_from},
                                            {"restore_operation", record.restore_operation},
                                            {"operation_id", record.operation_id},
                                            {"time", record.time},
                                            {"remark", record.remark}}));
  const std::string path = PodDirectory(state_dir, pod_uid);
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(path));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(path));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(dir.get(), name, text));
  CRYOPOD_RETURN_IF_ERROR(SyncDirectory(state_dir + "/" + kDirectoryName));
  return SyncDirectory(state_dir);
}

Result<ConsumedRecord> Read(const std::string& state_dir, const std::string& pod_uid,
                            const std::string& name) {
  const std::string path = PodDirectory(state_dir, pod_uid) + "/" + name;
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kKeyValuesBytesMax));
  Result<KeyValues> values = ParseKeyValues(text);
  if (!values.ok() || values->count("restore_from") == 0) {
    return Status(Code::kDataLoss, "the consumed record " + path +
                                       " is damaged: remove it to allow "
                                       "another restore, or write it anew to allow a cold start");
  }
  return ConsumedRecord{Get(*values, "restore_from"), Get(*values, "restore_operation"),
                        Get(*values, "operation_id"), Get(*values, "time"), Get(*values, "remark")};
}

// Is there such a record, of this very restore?
Result<bool> IsRecorded(const std::string& state_dir, const Request& request,
                        const std::string& name) {
  const Result<ConsumedRecord> record = Read(state_dir, request.pod_uid, name);
  if (record.status().code() == Code::kNotFound) return false;
  if (!record.ok()) return record.status();
  return record->restore_from == request.restore_from &&
         record->restore_operation == request.restore_operation;
}

}  // namespace

Status CheckComponent(const std::string& value, const std::string& what) {
  if (IsPlainName(value)) return Status();
  return Status(Code::kInvalidArgument,
                what + " must be 1 to 253 of [A-Za-z0-9._-] and not begin with a dot");
}

Status WriteConsumed(const std::string& state_dir, const std::string& pod_uid,
                     const std::string& container_name, ConsumedRecord record) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(pod_uid, "the pod UID"));
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(container_name, "the container name"));
  return Write(state_dir, pod_uid, container_name, std::move(record))
      .While("recording that " + container_name + " was restored");
}

Result<ConsumedRecord> ReadConsumed(const std::string& state_dir, const std::string& pod_uid,
                                    const std::string& container_name) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(pod_uid, "the pod UID"));
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(container_name, "the container name"));
  return Read(state_dir, pod_uid, container_name);
}

Status WriteColdStart(const std::string& state_dir, const Request& request) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.pod_uid, "the pod UID"));
  CRYOPOD_ASSIGN_OR_RETURN(const bool cold, IsRecorded(state_dir, request, kCold));
  if (cold) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const bool skipped, IsRecorded(state_dir, request, kSkipped));
  Request pod = request;
  pod.container_name.clear();
  CRYOPOD_ASSIGN_OR_RETURN(const bool consumed, IsConsumed(state_dir, pod));
  if (skipped || consumed) {
    return Status(Code::kFailedPrecondition,
                  skipped
                      ? "a container that had finished before the checkpoint was not run again, "
                        "which a cold start needs"
                      : "a container of the pod was restored already, and the others alone would "
                        "be half of it");
  }
  return Write(state_dir, request.pod_uid, kCold,
               {request.restore_from, request.restore_operation, "", "",
                request.failure_reason + ": " + Printable(request.failure)})
      .While("recording that the pod starts cold");
}

Status WriteSkipped(const std::string& state_dir, const Request& request) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.pod_uid, "the pod UID"));
  return Write(state_dir, request.pod_uid, kSkipped,
               {request.restore_from, request.restore_operation, "", "", request.container_name});
}

Result<bool> IsConsumed(const std::string& state_dir, const Request& request) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.pod_uid, "the pod UID"));
  CRYOPOD_ASSIGN_OR_RETURN(const bool cold, IsRecorded(state_dir, request, kCold));
  if (cold) return true;
  if (!request.container_name.empty()) {
    CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.container_name, "the container name"));
    return IsRecorded(state_dir, request, request.container_name);
  }
  const Result<std::vector<DirectoryEntry>> entries =
      ListDirectory(PodDirectory(state_dir, request.pod_uid));
  if (entries.status().code() == Code::kNotFound) return false;
  if (!entries.ok()) return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    if (!CheckComponent(entry.name, "").ok() || entry.name.ends_with(".partial")) continue;
    CRYOPOD_ASSIGN_OR_RETURN(const bool consumed, IsRecorded(state_dir, request, entry.name));
    if (consumed) return true;
  }
  return false;
}

}  // namespace cryopod::wrapper
