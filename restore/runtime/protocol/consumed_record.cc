#include "restore/runtime/protocol/consumed_record.h"

#include <sys/file.h>

#include <cerrno>
#include <optional>
#include <sstream>
#include <utility>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::wrapper {
namespace {

constexpr char kRestored[] = ".restored";
constexpr char kCold[] = ".cold";
constexpr char kSkipped[] = ".skipped";

std::string RecordsDirectory(const std::string& state_dir) { return state_dir + "/consumed"; }

std::string PodDirectory(const std::string& state_dir, const std::string& pod_uid) {
  return RecordsDirectory(state_dir) + "/" + pod_uid;
}

Status SyncDirectory(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(path));
  return Sync(dir.get(), path);
}

// The pod's directory, made when absent. As long as the descriptor lives, nobody else writes in it.
Result<UniqueFd> LockPodDirectory(const std::string& path) {
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(path));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd dir, OpenDirectory(path));
  while (::flock(dir.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "flock", path);
  }
  return dir;
}

Status Write(const std::string& state_dir, int pod_dir, const std::string& name,
             const KeyValues& values) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, FormatKeyValues(values));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(pod_dir, name, text));
  CRYOPOD_RETURN_IF_ERROR(SyncDirectory(RecordsDirectory(state_dir)));
  return SyncDirectory(state_dir);
}

// Of the pod as a whole, with why.
Status WriteOfPod(const std::string& state_dir, const Request& request, const std::string& name,
                  const std::string& remark) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir,
                           LockPodDirectory(PodDirectory(state_dir, request.pod_uid)));
  return Write(state_dir, dir.get(), name,
               {{"restore_from", request.restore_from},
                {"restore_operation", request.restore_operation},
                {"time", NowText()},
                {"remark", remark}});
}

Result<KeyValues> Read(const std::string& state_dir, const std::string& pod_uid,
                       const std::string& name) {
  const std::string path = PodDirectory(state_dir, pod_uid) + "/" + name;
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kKeyValuesBytesMax));
  Result<KeyValues> values = ParseKeyValues(text);
  if (!values.ok() || values->count("restore_from") == 0) {
    return Status(Code::kDataLoss, "the consumed record " + path +
                                       " is damaged: remove it to allow "
                                       "another restore, or write it anew to allow a cold start");
  }
  return values;
}

bool IsOf(const KeyValues& values, const Request& request) {
  return (request.restore_from.empty() || Get(values, "restore_from") == request.restore_from) &&
         Get(values, "restore_operation") == request.restore_operation;
}

// Is there such a record of the pod, of this very restore?
Result<bool> IsRecorded(const std::string& state_dir, const Request& request,
                        const std::string& name) {
  const Result<KeyValues> values = Read(state_dir, request.pod_uid, name);
  if (values.status().code() == Code::kNotFound) return false;
  if (!values.ok()) return values.status();
  return IsOf(*values, request);
}

std::set<std::string> NamesOf(const KeyValues& values, const std::string& key) {
  std::istringstream text(Get(values, key));
  std::set<std::string> names;
  for (std::string name; text >> name;) names.insert(name);
  return names;
}

std::string ListOf(const std::set<std::string>& names) {
  return Join({names.begin(), names.end()}, " ");
}

std::string RemarkKey(size_t place) { return "remark_" + std::to_string(place); }

}  // namespace

KeyValues ValuesOf(const ConsumedRecord& record) {
  KeyValues values = {{"restore_from", record.restore_from},
                      {"restore_operation", record.restore_operation},
                      {"operation_id", record.operation_id},
                      {"sandbox_id", record.sandbox_id},
                      {"time", record.time},
                      {"waiting", ListOf(record.waiting)},
                      {"finished", ListOf(record.finished)},
                      {"replaced", ListOf(record.replaced)}};
  std::set<std::string> restored;
  for (const auto& [name, remark] : record.restored) {
    if (!remark.empty()) values[RemarkKey(restored.size())] = remark;
    restored.insert(name);
  }
  values["restored"] = ListOf(restored);
  return values;
}

ConsumedRecord RecordFrom(const KeyValues& values) {
  ConsumedRecord record;
  record.restore_from = Get(values, "restore_from");
  record.restore_operation = Get(values, "restore_operation");
  record.operation_id = Get(values, "operation_id");
  record.sandbox_id = Get(values, "sandbox_id");
  record.time = Get(values, "time");
  for (const std::string& name : NamesOf(values, "restored")) {
    record.restored[name] = Get(values, RemarkKey(record.restored.size()));
  }
  record.waiting = NamesOf(values, "waiting");
  record.finished = NamesOf(values, "finished");
  record.replaced = NamesOf(values, "replaced");
  return record;
}

ConsumedRecord Merged(ConsumedRecord record, ConsumedRecord other) {
  if (record.sandbox_id.empty()) std::swap(record, other);
  record.restored.merge(other.restored);
  record.waiting.merge(other.waiting);
  record.finished.merge(other.finished);
  record.replaced.merge(other.replaced);
  for (const auto& [name, remark] : record.restored) record.waiting.erase(name);
  for (const std::string& name : record.replaced) record.finished.erase(name);
  return record;
}

Status CheckComponent(const std::string& value, const std::string& what) {
  if (IsPlainName(value)) return Status();
  return Status(Code::kInvalidArgument,
                what + " must be 1 to 253 of [A-Za-z0-9._-] and not begin with a dot");
}

Status AddConsumed(const std::string& state_dir, const std::string& pod_uid,
                   ConsumedRecord record) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(pod_uid, "the pod UID"));
  const std::string doing = "recording that pod " + pod_uid + " was restored";
  Result<UniqueFd> dir = LockPodDirectory(PodDirectory(state_dir, pod_uid));
  if (!dir.ok()) return dir.status().While(doing);
  const Result<KeyValues> written = Read(state_dir, pod_uid, kRestored);
  if (!written.ok() && written.status().code() != Code::kNotFound) return written.status();
  if (written.ok()) {
    ConsumedRecord before = RecordFrom(*written);
    const bool is_same = before.restore_from == record.restore_from &&
                         before.restore_operation == record.restore_operation &&
                         before.sandbox_id == record.sandbox_id;
    if (is_same) record = Merged(std::move(before), std::move(record));
  }
  if (record.time.empty()) record.time = NowText();
  return Write(state_dir, dir->get(), kRestored, ValuesOf(record)).While(doing);
}

Status WriteReplaced(const std::string& state_dir, const Request& request) {
  ConsumedRecord record;
  record.restore_from = request.restore_from;
  record.restore_operation = request.restore_operation;
  record.sandbox_id = request.sandbox_id;
  record.replaced = {request.container_name};
  return AddConsumed(state_dir, request.pod_uid, std::move(record));
}

Result<ConsumedRecord> ReadConsumed(const std::string& state_dir, const Request& request) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.pod_uid, "the pod UID"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                           ListDirectory(PodDirectory(state_dir, request.pod_uid)));
  std::optional<ConsumedRecord> whole;
  for (const DirectoryEntry& entry : entries) {
    const bool is_of_container =
        CheckComponent(entry.name, "").ok() && !entry.name.ends_with(".partial");
    if (!is_of_container && entry.name != kRestored) continue;
    CRYOPOD_ASSIGN_OR_RETURN(const KeyValues values, Read(state_dir, request.pod_uid, entry.name));
    if (!IsOf(values, request)) continue;
    ConsumedRecord record = RecordFrom(values);
    if (is_of_container) record.restored = {{entry.name, Get(values, "remark")}};
    whole = whole ? Merged(std::move(*whole), std::move(record)) : std::move(record);
  }
  if (whole) return std::move(*whole);
  return Status(Code::kNotFound, "no restore of pod " + request.pod_uid + " is recorded");
}

Result<std::vector<std::string>> ListConsumed(const std::string& state_dir) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(RecordsDirectory(state_dir));
  if (!entries.ok() && entries.status().code() != Code::kNotFound) return entries.status();
  std::vector<std::string> uids;
  if (!entries.ok()) return uids;
  for (const DirectoryEntry& entry : *entries) {
    if (CheckComponent(entry.name, "").ok()) uids.push_back(entry.name);
  }
  return uids;
}

Status RemoveConsumed(const std::string& state_dir, const std::string& pod_uid) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(pod_uid, "the pod UID"));
  return RemoveTree(PodDirectory(state_dir, pod_uid))
      .While("forgetting that pod " + pod_uid + " was restored");
}

Status WriteColdStart(const std::string& state_dir, const Request& request) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.pod_uid, "the pod UID"));
  CRYOPOD_ASSIGN_OR_RETURN(const bool cold, IsRecorded(state_dir, request, kCold));
  if (cold) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const bool skipped, IsRecorded(state_dir, request, kSkipped));
  const Result<ConsumedRecord> consumed = ReadConsumed(state_dir, request);
  if (!consumed.ok() && consumed.status().code() != Code::kNotFound) return consumed.status();
  if (skipped || consumed.ok()) {
    return Status(Code::kFailedPrecondition,
                  skipped
                      ? "a container that had finished before the checkpoint was not run again, "
                        "which a cold start needs"
                      : "a container of the pod was restored already, and the others alone would "
                        "be half of it");
  }
  return WriteOfPod(state_dir, request, kCold,
                    request.failure_reason + ": " + Printable(request.failure))
      .While("recording that the pod starts cold");
}

Status WriteSkipped(const std::string& state_dir, const Request& request) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.pod_uid, "the pod UID"));
  return WriteOfPod(state_dir, request, kSkipped, request.container_name);
}

Result<Due> DueOf(const std::string& state_dir, const Request& request) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.pod_uid, "the pod UID"));
  const std::string& name = request.container_name;
  if (!name.empty()) CRYOPOD_RETURN_IF_ERROR(CheckComponent(name, "the container name"));
  CRYOPOD_ASSIGN_OR_RETURN(const bool cold, IsRecorded(state_dir, request, kCold));
  if (cold) return Due::kStart;
  const Result<ConsumedRecord> record = ReadConsumed(state_dir, request);
  if (record.status().code() == Code::kNotFound) return Due::kRestore;
  if (!record.ok()) return record.status();
  if (name.empty() || record->restored.contains(name)) return Due::kStart;
  // An older version recorded each container for itself.
  if (record->sandbox_id.empty()) return Due::kRestore;
  // All that was restored together ended with its sandbox: the rest alone would be half of a cut.
  if (record->sandbox_id != request.sandbox_id) return Due::kStart;
  if (record->waiting.contains(name)) return Due::kRestore;
  return record->finished.contains(name) ? Due::kFinish : Due::kStart;
}

Result<bool> WasRestored(const std::string& state_dir, const Request& request) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(request.container_name, "the container name"));
  const Result<ConsumedRecord> record = ReadConsumed(state_dir, request);
  if (record.status().code() == Code::kNotFound) return false;
  if (!record.ok()) return record.status();
  return record->restored.contains(request.container_name);
}

}  // namespace cryopod::wrapper
