#include "agent/criu/swrk.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "agent/criu/proto/rpc.pb.h"
#include "agent/os/log.h"

namespace cryopod::criu {
namespace {

// Files that are deleted and still open are copied inside the freeze; CRIU's own limit of 1 MiB
// would refuse every program that keeps its scratch data so.
constexpr uint32_t kDeletedFileBytesMax = uint32_t{64} << 20;

constexpr int kSocketNumber = 3;
constexpr char kSearchPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// The largest answer holds one error line of CRIU's log.
constexpr size_t kAnswerBytesMax = size_t{64} << 10;

// Written inside the freeze, and a line for every run of pages at the highest level. Reasons are
// read out of errors and warnings.
constexpr int32_t kWarnings = 2;
constexpr int32_t kEverything = 4;

void SetBehaviour(wire::criu_opts* opts) {
  opts->set_leave_running(true);
  opts->set_log_level(GetLogLevel() == LogLevel::kDebug ? kEverything : kWarnings);
  opts->set_log_file(kDumpLogName);
  // CRIU then stops once before it touches a task and goes on with our word. When we die it finds
  // its socket closed (it ignores SIGPIPE), gives up and unwinds.
  opts->set_notify_scripts(true);
  // CRIU reads the older switch first and would take cgroups to be unmanaged without it.
  opts->set_manage_cgroups(true);
  opts->set_manage_cgroups_mode(wire::IGNORE);
  opts->set_network_lock(wire::SKIP);
  opts->set_tcp_close(true);
  opts->set_tcp_skip_in_flight(true);
  opts->set_file_locks(true);
  opts->set_force_irmap(true);
  opts->set_orphan_pts_master(true);
  opts->set_link_remap(false);
  opts->set_ghost_limit(kDeletedFileBytesMax);
  opts->set_ext_unix_sk(false);
  opts->set_shell_job(false);
}

Status Ended() {
  return Status(Code::kUnavailable, "CRIU ended without an answer", Reason::kCriuFailed);
}

// One message that is there, or kUnavailable at the end of the stream.
Result<Answer> ReceiveNow(int socket) {
  std::string message(kAnswerBytesMax, '\0');
  const ssize_t length = ::recv(socket, message.data(), message.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (length < 0 && (errno == ECONNRESET || errno == EAGAIN)) return Ended();
  if (length < 0) return ErrnoStatus(errno, "recv from", "criu swrk");
  if (length == 0) return Ended();
  if (static_cast<size_t>(length) > message.size()) {
    return Status(Code::kResourceExhausted, "an answer of CRIU is larger than 64 KiB");
  }
  message.resize(static_cast<size_t>(length));
  return ParseAnswer(message);
}

}  // namespace

std::string Version::text() const {
  std::string text = std::to_string(major) + "." + std::to_string(minor);
  if (sublevel > 0) text += "." + std::to_string(sublevel);
  return text;
}

std::string DumpRequest(const DumpOptions& options, int images_dir_fd, int work_dir_fd,
                        uint32_t freeze_timeout_s) {
  wire::criu_req request;
  request.set_type(wire::DUMP);
  wire::criu_opts* opts = request.mutable_opts();
  SetBehaviour(opts);
  opts->set_images_dir_fd(images_dir_fd);
  opts->set_work_dir_fd(work_dir_fd);
  opts->set_timeout(freeze_timeout_s);
  opts->set_pid(options.pid);
  opts->set_root(options.root);
  if (!options.freeze_cgroup.empty()) opts->set_freeze_cgroup(options.freeze_cgroup);
  for (const std::string& external : options.externals) opts->add_external(external);
  for (const std::string& path : options.watched_paths) opts->add_irmap_scan_paths(path);
  for (const auto& [mount_point, key] : options.external_mounts) {
    wire::ext_mount_map* mount = opts->add_ext_mnt();
    mount->set_key(mount_point);
    mount->set_val(key);
  }
  return request.SerializeAsString();
}

std::string GoOnRequest() {
  wire::criu_req request;
  request.set_type(wire::NOTIFY);
  request.set_notify_success(true);
  return request.SerializeAsString();
}

std::string VersionRequest() {
  wire::criu_req request;
  request.set_type(wire::VERSION);
  return request.SerializeAsString();
}

std::string FeatureRequest() {
  wire::criu_req request;
  request.set_type(wire::FEATURE_CHECK);
  request.mutable_features()->set_mem_track(true);
  return request.SerializeAsString();
}

std::string CheckRequest() {
  wire::criu_req request;
  request.set_type(wire::CHECK);
  wire::criu_opts* opts = request.mutable_opts();
  opts->set_images_dir_fd(-1);
  // CRIU 4.1 opens a directory for images even when it only checks; it writes nothing into it.
  opts->set_images_dir("/");
  opts->set_log_to_stderr(true);
  opts->set_log_level(kWarnings);
  return request.SerializeAsString();
}

Result<Answer> ParseAnswer(std::string_view message) {
  wire::criu_resp response;
  // In two steps: ParseFromArray would print to stderr what is missing.
  if (!response.ParsePartialFromArray(message.data(), static_cast<int>(message.size())) ||
      !response.IsInitialized()) {
    return Status(Code::kDataLoss, "the answer is not one of CRIU");
  }
  Answer answer;
  if (response.type() == wire::NOTIFY) answer.asks_to_go_on = response.notify().script();
  answer.success = response.success();
  answer.error_message = response.cr_errmsg();
  if (response.has_version()) {
    answer.version = {response.version().major_number(), response.version().minor_number(),
                      response.version().sublevel()};
  }
  return answer;
}

Result<Swrk> SpawnSwrk(const std::string& criu_program, int stderr_fd,
                       const std::string& tools_dir) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return ErrnoStatus(errno, "socketpair for", criu_program);
  }
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);

  SpawnOptions options;
  options.argv = {criu_program, "--no-default-config", "swrk", std::to_string(kSocketNumber)};
  options.environment = {"PATH=" + (tools_dir.empty() ? "" : tools_dir + ":") + kSearchPath};
  options.descriptors = {{kSocketNumber, theirs.get()}};
  if (stderr_fd >= 0) options.descriptors.emplace_back(2, stderr_fd);
  options.new_session = true;
  options.umask = 077;
  // So that a limit on its files makes its writes fail and not it die.
  options.ignored_signal = SIGXFSZ;
  Result<Subprocess> process = Subprocess::Spawn(options);
  if (!process.ok() && process.status().code() == Code::kNotFound) {
    return Status(Code::kNotFound,
                  criu_program + ": no such program; install CRIU 4.1 or newer (package criu)");
  }
  if (!process.ok()) return process.status().While("starting " + criu_program);
  return Swrk{std::move(process).value(), std::move(ours)};
}

Status Send(const Swrk& swrk, std::string_view request) {
  const ssize_t sent = ::send(swrk.socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(request.size())) return Status();
  if (sent < 0 && (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)) return Ended();
  if (sent < 0 && errno == EMSGSIZE) {
    return Status(Code::kResourceExhausted,
                  "the container has more mounts than a request can name");
  }
  return ErrnoStatus(errno, "send to", "criu swrk");
}

Result<Answer> Receive(const Swrk& swrk, Deadline deadline) {
  // The pidfd too: a child of CRIU that outlives it would keep the socket open.
  std::array<pollfd, 2> waits = {pollfd{swrk.socket.get(), POLLIN, 0},
                                 pollfd{swrk.process.pidfd(), POLLIN, 0}};
  while (true) {
    const int ready = ::poll(waits.data(), waits.size(), deadline.poll_timeout_ms());
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll of", "criu swrk");
    if (ready > 0) return ReceiveNow(swrk.socket.get());
    if (deadline.expired()) return Status(Code::kDeadlineExceeded, "CRIU has not answered in time");
  }
}

}  // namespace cryopod::criu
