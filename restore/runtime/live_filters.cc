#include "restore/runtime/live_filters.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "agent/json/value.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "restore/runtime/finished_container.h"
#include "restore/runtime/programs.h"

namespace cryopod::wrapper {
namespace {

using json::Value;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kProbe[] = "cryopod-probe";
constexpr seconds kProbeTimeout{20};
constexpr seconds kDeleteTimeout{10};
constexpr size_t kRecordBytesMax = size_t{1} << 20;
constexpr size_t kPidBytesMax = 32;

bool HasSupervisor(const Value& seccomp) {
  constexpr std::string_view kNotify = "SCMP_ACT_NOTIFY";
  return !seccomp.At("listenerPath").Text().empty() ||
         seccomp.At("defaultAction").Text() == kNotify ||
         std::ranges::any_of(seccomp.At("syscalls").Elements(), [&](const Value& rule) {
           return rule.At("action").Text() == kNotify;
         });
}

// The same program makes the same filters of the same profile.
Result<std::string> KeyOf(const std::string& program, const Value& seccomp) {
  struct stat facts {};
  if (::stat(program.c_str(), &facts) != 0) return ErrnoStatus(errno, "stat", program);
  std::string key = program;
  for (const auto number : {static_cast<int64_t>(facts.st_ino), int64_t{facts.st_size},
                            int64_t{facts.st_mtim.tv_sec}, int64_t{facts.st_mtim.tv_nsec}}) {
    key += " " + std::to_string(number);
  }
  return key + "\n" + json::Format(seccomp);
}

// One after the other; held until the descriptor closes.
Result<UniqueFd> Lock(int dir_fd, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd lock, OpenAt(dir_fd, "lock", O_RDWR | O_CREAT, 0600));
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, "flock", "lock");
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded, "another container's seccomp filters are being read");
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  return lock;
}

// A container of the profile with nothing in it. Without no_new_privs the runtime sets the filters
// before it waits for its start; some do with it, too.
Value ProbeConfig(const Request& request, const Value& config, const std::string& program,
                  bool no_new_privs) {
  const auto mount = [](const char* destination, const char* type, const std::string& source,
                        Value::Array options) {
    return Value{Value::Object{{"destination", {destination}},
                               {"type", {type}},
                               {"source", {source}},
                               {"options", {std::move(options)}}}};
  };
  Value probe;
  probe.Make("ociVersion") = config.At("ociVersion");
  probe.Make("root").value = Value::Object{{"path", {std::string("rootfs")}}, {"readonly", {true}}};
  Value& process = probe.Make("process");
  process.Make("args").value = Value::Array{{kFinishedPath}};
  process.Make("cwd").value = std::string("/");
  process.Make("user").value = Value::Object{{"uid", {uint64_t{0}}}, {"gid", {uint64_t{0}}}};
  process.Make("noNewPrivileges").value = no_new_privs;
  probe.Make("mounts").value = Value::Array{
      mount("/proc", "proc", "proc", {{"nosuid"}, {"noexec"}, {"nodev"}}),
      mount("/dev", "tmpfs", "tmpfs", {{"nosuid"}, {"mode=755"}, {"size=64k"}}),
      mount(kFinishedPath, "bind", program, {{"bind"}, {"ro"}, {"nosuid"}, {"nodev"}})};
  Value& linux_section = probe.Make("linux");
  linux_section.Make("namespaces").value =
      Value::Array{{Value::Object{{"type", {"pid"}}}}, {Value::Object{{"type", {"mount"}}}}};
  if (!request.cgroups_path.empty()) {
    linux_section.Make("cgroupsPath").value = request.cgroups_path + "-probe";
  }
  linux_section.Make("seccomp") = config.At("linux").At("seccomp");
  return probe;
}

Status RunRuntime(const Call& call, const std::vector<std::string>& arguments, Deadline deadline) {
  SpawnOptions options;
  options.argv = RuntimeCommand(call);
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  options.inherit_environment = true;
  options.death_signal = SIGKILL;
  CRYOPOD_ASSIGN_OR_RETURN(Subprocess child, Subprocess::Spawn(options));
  CRYOPOD_ASSIGN_OR_RETURN(const ExitStatus ended, child.Wait(deadline));
  if (ended.success()) return Status();
  const std::string why = ReadLastError(call.arguments);
  return Status(Code::kFailedPrecondition,
                call.oci_runtime + ": " + (why.empty() ? ended.Describe() : why));
}

// The container of a call, removed when this ends; so is its bundle.
class Probe {
 public:
  Probe(const Call& call, std::string bundle) : call_(call), bundle_(std::move(bundle)) {}
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  ~Probe() {
    static_cast<void>(
        RunRuntime(call_, {"delete", "--force", kProbe}, Deadline::After(kDeleteTimeout)).ok());
    static_cast<void>(RemoveTree(bundle_).ok());
  }

  Result<std::vector<SeccompFilter>> Read(const Value& config, Deadline deadline) const {
    CRYOPOD_RETURN_IF_ERROR(MakeDirectories(bundle_ + "/rootfs"));
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(bundle_));
    CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(dir.get(), "config.json", json::Format(config)));
    CRYOPOD_RETURN_IF_ERROR(RunRuntime(
        call_, {"create", "--bundle", bundle_, "--pid-file", bundle_ + "/pid", kProbe}, deadline));
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFileAt(dir.get(), "pid", kPidBytesMax));
    pid_t pid = 0;
    std::from_chars(text.data(), text.data() + text.size(), pid);
    return ReadSeccompFilters(pid, deadline);
  }

 private:
  const Call& call_;
  const std::string bundle_;
};

Result<std::vector<SeccompFilter>> ReadFromProbe(const Call& call, const Request& request,
                                                 const Value& config, const std::string& directory,
                                                 Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string program, FindFinishedProgram());
  const std::string bundle = directory + "/" + kProbe;
  // Of a call that was killed.
  if (PathExists(bundle)) const Probe left(call, bundle);
  Status failed;
  for (const bool no_new_privs : {false, true}) {
    const Probe probe(call, bundle);
    Result<std::vector<SeccompFilter>> filters =
        probe.Read(ProbeConfig(request, config, program, no_new_privs), deadline);
    if (filters.ok() && !filters->empty()) return filters;
    failed = filters.ok() ? Status(Code::kFailedPrecondition, "its process has no seccomp filter")
                          : filters.status();
  }
  return failed.While("creating a container of the seccomp profile");
}

std::optional<std::vector<SeccompFilter>> ReadKept(int dir_fd, const std::string& name,
                                                   const std::string& key) {
  const Result<std::string> kept = ReadFileAt(dir_fd, name, kRecordBytesMax);
  if (!kept.ok()) return std::nullopt;
  Result<FilterRecord> record = ParseFilterRecord(*kept);
  if (!record.ok() || record->key != key) return std::nullopt;
  return std::move(record->filters);
}

}  // namespace

Result<std::vector<SeccompFilter>> LiveFilters(const Call& call, const Request& request,
                                               Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(request.bundle + "/config.json"));
  CRYOPOD_ASSIGN_OR_RETURN(const Value config, json::Parse(text));
  const Value& seccomp = config.At("linux").At("seccomp");
  if (seccomp.Members().empty()) return std::vector<SeccompFilter>();
  if (HasSupervisor(seccomp)) {
    return Status(Code::kUnimplemented,
                  "the pod's seccomp profile hands calls to a supervisor, which processes that are "
                  "restored cannot be given");
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::string key, KeyOf(call.oci_runtime, seccomp));
  const std::string& socket = call.settings.agent_socket;
  const std::string directory = socket.substr(0, socket.rfind('/') + 1) + "seccomp";
  const std::string name = std::to_string(std::hash<std::string>()(key));
  const Deadline soon = deadline.SoonerAfter(kProbeTimeout);
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(directory));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(directory));
  if (auto kept = ReadKept(dir.get(), name, key)) return std::move(*kept);
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd lock, Lock(dir.get(), soon));
  // Whoever had the lock may have asked for the same.
  if (auto kept = ReadKept(dir.get(), name, key)) return std::move(*kept);
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<SeccompFilter> filters,
                           ReadFromProbe(call, request, config, directory, soon));
  // Without it the next call asks once more.
  static_cast<void>(
      WriteFileAtomically(dir.get(), name, Serialize(FilterRecord{key, filters})).ok());
  return filters;
}

}  // namespace cryopod::wrapper
