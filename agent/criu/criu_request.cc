#include "agent/criu/criu_request.h"

#include "agent/criu/proto/rpc.pb.h"

namespace cryopod::criu {
namespace {

// Files that are deleted and still open are copied inside the freeze; CRIU's own limit of 1 MiB
// would refuse every program that keeps its scratch data so.
constexpr uint32_t kDeletedFileBytesMax = uint32_t{64} << 20;

std::string Serialize(const wire::criu_req& request) {
  std::string bytes;
  request.SerializeToString(&bytes);
  return bytes;
}

void SetBehaviour(wire::criu_opts* opts) {
  opts->set_leave_running(true);
  opts->set_log_level(4);
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

}  // namespace

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
  return Serialize(request);
}

std::string GoOnRequest() {
  wire::criu_req request;
  request.set_type(wire::NOTIFY);
  request.set_notify_success(true);
  return Serialize(request);
}

std::string VersionRequest() {
  wire::criu_req request;
  request.set_type(wire::VERSION);
  return Serialize(request);
}

std::string FeatureRequest() {
  wire::criu_req request;
  request.set_type(wire::FEATURE_CHECK);
  request.mutable_features()->set_mem_track(true);
  return Serialize(request);
}

std::string CheckRequest() {
  wire::criu_req request;
  request.set_type(wire::CHECK);
  wire::criu_opts* opts = request.mutable_opts();
  opts->set_images_dir_fd(-1);
  // CRIU 4.1 opens a directory for images even when it only checks; it writes nothing into it.
  opts->set_images_dir("/");
  opts->set_log_to_stderr(true);
  opts->set_log_level(2);
  return Serialize(request);
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
  answer.error_number = response.cr_errno();
  answer.error_message = response.cr_errmsg();
  answer.has_version = response.has_version();
  answer.version_major = response.version().major_number();
  answer.version_minor = response.version().minor_number();
  answer.version_sublevel = response.version().sublevel();
  return answer;
}

}  // namespace cryopod::criu
