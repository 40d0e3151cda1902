#include "restore/runtime/protocol/container_marks.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

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

// SIGCONT to every process of the cgroup. One that has ended since is no error.
Status ContinueProcesses(const std::string& cgroup_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(cgroup_dir + "/cgroup.procs"));
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

Status Release(const std::string& state_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const KeyValues values, ReadMark(state_dir, kHeldMark));
  const std::string cgroup_dir = Get(values, "cgroup");
  if (!cgroup_dir.starts_with('/')) {
    return Status(Code::kDataLoss, "damaged mark in " + state_dir + ": it names no cgroup");
  }
  CRYOPOD_RETURN_IF_ERROR(ContinueProcesses(cgroup_dir).While("releasing a held container"));
  return RemoveMark(state_dir, kHeldMark);
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

Status WriteHeldMark(const std::string& state_dir, const std::string& cgroup_dir) {
  return WriteMark(state_dir, kHeldMark, {{"cgroup", cgroup_dir}});
}

Status RemoveHeldMark(const std::string& state_dir) { return RemoveMark(state_dir, kHeldMark); }

Status ReleaseHeld(const std::string& state_dir) {
  const Status released = Release(state_dir);
  // No mark, or no processes any more.
  return released.code() == Code::kNotFound ? Status() : released;
}

}  // namespace cryopod::wrapper
