#include "restore/runtime/protocol/container_marks.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/text.h"
#include "restore/runtime/protocol/key_values.h"

namespace cryopod::wrapper {
namespace {

constexpr char kRestoredMark[] = "cryopod.restored";
constexpr char kHeldMark[] = "cryopod.held";
// What is kept of the request whose restore it was.
constexpr std::pair<const char*, std::string Request::*> kMarkFields[] = {
    {"container_id", &Request::container_id}, {"sandbox_id", &Request::sandbox_id},
    {"pod_name", &Request::pod_name},         {"pod_namespace", &Request::pod_namespace},
    {"pod_uid", &Request::pod_uid},           {"container_name", &Request::container_name},
    {"restore_from", &Request::restore_from}, {"restore_operation", &Request::restore_operation}};

Status WriteMark(const std::string& state_dir, const std::string& name, const KeyValues& values) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, FormatKeyValues(values));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(state_dir));
  return WriteFileAtomically(dir.get(), name, text).While("marking the container in " + state_dir);
}

Result<KeyValues> ReadMark(const std::string& state_dir, const std::string& name) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(state_dir + "/" + name, kKeyValuesBytesMax));
  Result<KeyValues> values = ParseKeyValues(text);
  if (!values.ok()) {
    return Status(Code::kDataLoss,
                  "damaged mark " + state_dir + "/" + name + ": " + values.status().message());
  }
  return values;
}

Status RemoveMark(const std::string& state_dir, const std::string& name) {
  const std::string path = state_dir + "/" + name;
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, "unlink", path);
  return Status();
}

std::string ProcessesOf(const HeldMark& mark) { return mark.cgroup_dir + "/cgroup.procs"; }

// One that has ended since is no error.
Status LetRun(const HeldMark& mark) {
  if (mark.frozen) {
    CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::Open(mark.cgroup_dir));
    return cgroup.Thaw();
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(ProcessesOf(mark)));
  for (const std::string_view line : SplitLines(text)) {
    pid_t pid = 0;
    // 0 is a process outside our PID namespace, and kill(0) would signal ourselves.
    if (!ParseNumber(line, pid) || pid <= 1) continue;
    if (::kill(pid, SIGCONT) != 0 && errno != ESRCH) {
      return ErrnoStatus(errno, "continue process", std::to_string(pid));
    }
  }
  return Status();
}

Status Record(const std::string& records_dir, const std::map<std::string, HeldMark>& held) {
  std::string pod_uid;
  std::optional<ConsumedRecord> record;
  for (const auto& [state_dir, mark] : held) {
    if (mark.pod_uid.empty()) continue;
    pod_uid = mark.pod_uid;
    record = record ? Merged(std::move(*record), mark.record) : mark.record;
  }
  return record ? AddConsumed(records_dir, pod_uid, std::move(*record)) : Status();
}

}  // namespace

Status WriteRestoredMark(const std::string& state_dir, const Request& request) {
  KeyValues values;
  for (const auto& [key, field] : kMarkFields) values[key] = request.*field;
  return WriteMark(state_dir, kRestoredMark, values);
}

Result<Request> ReadRestoredMark(const std::string& state_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const KeyValues values, ReadMark(state_dir, kRestoredMark));
  Request request;
  for (const auto& [key, field] : kMarkFields) request.*field = Get(values, key);
  request.state_dir = state_dir;
  return request;
}

Status RemoveRestoredMark(const std::string& state_dir) {
  return RemoveMark(state_dir, kRestoredMark);
}

Status WriteHeldMark(const std::string& state_dir, const HeldMark& mark) {
  KeyValues values = ValuesOf(mark.record);
  values["cgroup"] = mark.cgroup_dir;
  values["pod_uid"] = mark.pod_uid;
  if (mark.frozen) values["frozen"] = "1";
  return WriteMark(state_dir, kHeldMark, values);
}

Result<HeldMark> ReadHeldMark(const std::string& state_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const KeyValues values, ReadMark(state_dir, kHeldMark));
  HeldMark mark{Get(values, "cgroup"), Get(values, "pod_uid"), RecordFrom(values),
                Get(values, "frozen") == "1"};
  if (mark.cgroup_dir.starts_with('/')) return mark;
  return Status(Code::kDataLoss, "damaged mark in " + state_dir + ": it names no cgroup");
}

bool IsHeld(const std::string& state_dir) { return PathExists(state_dir + "/" + kHeldMark); }

Status RemoveHeldMark(const std::string& state_dir) { return RemoveMark(state_dir, kHeldMark); }

Status ReleaseHeld(const std::string& records_dir, const std::vector<std::string>& state_dirs) {
  std::map<std::string, HeldMark> held;
  for (const std::string& state_dir : state_dirs) {
    Result<HeldMark> mark = ReadHeldMark(state_dir);
    if (!mark.ok() && mark.status().code() != Code::kNotFound) return mark.status();
    // Whose processes are gone has not run.
    if (mark.ok() && PathExists(ProcessesOf(*mark))) held[state_dir] = std::move(*mark);
  }
  CRYOPOD_RETURN_IF_ERROR(Record(records_dir, held));
  Status first;
  for (const auto& [state_dir, mark] : held) {
    Status released = LetRun(mark).While("releasing a held container");
    if (released.code() == Code::kNotFound) continue;
    if (released.ok()) released = RemoveHeldMark(state_dir);
    if (first.ok()) first = released;
  }
  return first;
}

}  // namespace cryopod::wrapper
