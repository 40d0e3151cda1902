#include "agent/config.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <climits>

#include "agent/os/file.h"

namespace cryopod::agent {
namespace {

// Programs live in <prefix>/bin, what they start in <prefix>/libexec/cryopod: the prefix may move.
std::string LibexecBesideUs() {
  std::string path(PATH_MAX, '\0');
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(size > 0 ? static_cast<size_t>(size) : 0);
  const size_t bin = path.rfind('/');
  const size_t prefix = bin == std::string::npos || bin == 0 ? bin : path.rfind('/', bin - 1);
  return prefix == std::string::npos ? std::string() : path.substr(0, prefix) + "/libexec/cryopod";
}

}  // namespace

Config ParseCommandLine(int argc, const char* const* argv, int& exit_code) {
  Config config;
  config.libexec_dir = LibexecBesideUs();
  CLI::App app("cryopod-agent: checkpoints and restores the pods of this node");
  app.set_version_flag("--version", "cryopod-agent " CRYOPOD_VERSION);
  app.add_option("--run-dir", config.run_dir, "sockets and running operations")
      ->capture_default_str();
  app.add_option("--state-dir", config.state_dir, "archives, consumed records, logs")
      ->capture_default_str();
  app.add_option("--containerd-socket", config.containerd_socket, "CRI socket of the runtime")
      ->capture_default_str();
  app.add_option("--runtime-root", config.runtime_root, "where runc keeps its containers' state")
      ->capture_default_str();
  app.add_option("--criu", config.criu_program, "CRIU, a path or a name in PATH")
      ->capture_default_str();
  app.add_option("--libexec-dir", config.libexec_dir, "cryopod's inner programs")
      ->capture_default_str();
  app.add_option("--checkpoint-timeout", config.checkpoint_timeout_s,
                 "seconds a checkpoint may take when the caller names none")
      ->capture_default_str();
  app.add_option("--restore-timeout", config.restore_timeout_s,
                 "seconds a restore may take when the caller names none")
      ->capture_default_str();
  app.add_option("--restore-idle-timeout", config.restore_idle_timeout_s,
                 "seconds after which a staged restore that nobody asks for is dropped")
      ->capture_default_str();
  app.add_option("--restore-hold", config.restore_hold_ms,
                 "milliseconds a restored container waits for its pod's others at the most")
      ->capture_default_str();
  app.add_option("--reader-group", config.reader_group,
                 "group that may list archives, ask for the node's state and for metrics")
      ->capture_default_str();
  app.add_option("--log-level", config.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  exit_code = -1;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    exit_code = code == 0 ? 0 : 2;
  }
  return config;
}

Status CheckConfig(const Config& config) {
  for (const auto& [key, path] :
       {std::pair{"--run-dir", config.run_dir}, std::pair{"--state-dir", config.state_dir},
        std::pair{"--containerd-socket", config.containerd_socket},
        std::pair{"--runtime-root", config.runtime_root},
        std::pair{"--libexec-dir", config.libexec_dir}}) {
    if (!path.starts_with('/')) {
      return Status(Code::kInvalidArgument,
                    std::string(key) + " must be an absolute path, not \"" + path + "\"");
    }
  }
  // sun_path holds 108 bytes with its end, and job directories hold a socket of their own.
  static constexpr size_t kRunDirBytesMax = 60;
  if (config.run_dir.size() > kRunDirBytesMax) {
    return Status(Code::kInvalidArgument, "--run-dir may have " + std::to_string(kRunDirBytesMax) +
                                              " bytes; a socket's path must fit");
  }
  for (const auto& [key, timeout_s] :
       {std::pair{"--checkpoint-timeout", config.checkpoint_timeout_s},
        std::pair{"--restore-timeout", config.restore_timeout_s},
        std::pair{"--restore-idle-timeout", config.restore_idle_timeout_s}}) {
    if (timeout_s == 0) {
      return Status(Code::kInvalidArgument, std::string(key) + " must be at least 1 second");
    }
  }
  for (const std::string& program :
       {config.checkpoint_program(), config.restore_program(), config.unpack_program()}) {
    if (::access(program.c_str(), X_OK) != 0) {
      return Status(Code::kNotFound,
                    program +
                        " is missing; install the whole of cryopod into one prefix,"
                        " or name its folder with --libexec-dir");
    }
  }
  return Status();
}

}  // namespace cryopod::agent
