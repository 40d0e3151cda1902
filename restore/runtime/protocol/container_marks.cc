#include "restore/runtime/protocol/container_marks.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

#include "agent/os/file.h"
#include "restore/runtime/protocol/key_values.h"

namespace cryopod::wrapper {
namespace {

constexpr char kRestoredMark[] = "cryopod.restored";
constexpr char kHeldMark[] = "cryopod.held";

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

}  // namespace

Status WriteRestoredMark(const std::string& state_dir, const Request& request) {
  return WriteMark(state_dir, kRestoredMark,
                   {{"container_id", request.container_id},
                    {"sandbox_id", request.sandbox_id},
                    {"pod_name", request.pod_name},
                    {"pod_namespace", request.pod_namespace},
                    {"pod_uid", request.pod_uid},
                    {"container_name", request.container_name},
                    {"restore_from", request.restore_from},
                    {"restore_operation", request.restore_operation}});
}

Result<Request> ReadRestoredMark(const std::string& state_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const KeyValues values, ReadMark(state_dir, kRestoredMark));
  Request request;
  request.container_id = Get(values, "container_id");
  request.sandbox_id = Get(values, "sandbox_id");
  request.pod_name = Get(values, "pod_name");
  request.pod_namespace = Get(values, "pod_namespace");
  request.pod_uid = Get(values, "pod_uid");
  request.container_name = Get(values, "container_name");
  request.restore_from = Get(values, "restore_from");
  request.restore_operation = Get(values, "restore_operation");
  request.state_dir = state_dir;
  return request;
}

Status RemoveRestoredMark(const std::string& state_dir) {
  return RemoveMark(state_dir, kRestoredMark);
}

Status WriteHeldMark(const std::string& state_dir, const std::string& cgroup_dir) {
  return WriteMark(state_dir, kHeldMark, {{"cgroup", cgroup_dir}});
}

bool IsHeld(const std::string& state_dir) { return PathExists(state_dir + "/" + kHeldMark); }

Status RemoveHeldMark(const std::string& state_dir) { return RemoveMark(state_dir, kHeldMark); }

Status ReleaseHeld(const std::string& state_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const KeyValues values, ReadMark(state_dir, kHeldMark));
  const std::string cgroup_dir = Get(values, "cgroup");
  if (!cgroup_dir.starts_with('/')) {
    return Status(Code::kDataLoss, "damaged mark in " + state_dir + ": it names no cgroup");
  }
  CRYOPOD_RETURN_IF_ERROR(ContinueProcesses(cgroup_dir).While("releasing a held container"));
  return RemoveMark(state_dir, kHeldMark);
}

Status ContinueProcesses(const std::string& cgroup_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(cgroup_dir + "/cgroup.procs"));
  std::string_view left = text;
  while (!left.empty()) {
    const size_t end = left.find('\n');
    const std::string_view line = left.substr(0, end);
    left.remove_prefix(end == std::string_view::npos ? left.size() : end + 1);
    pid_t pid = 0;
    std::from_chars(line.data(), line.data() + line.size(), pid);
    // 0 is a process outside our PID namespace, and kill(0) would signal ourselves.
    if (pid <= 1) continue;
    if (::kill(pid, SIGCONT) != 0 && errno != ESRCH) {
      return ErrnoStatus(errno, "continue process", std::to_string(pid));
    }
  }
  return Status();
}

}  // namespace cryopod::wrapper
