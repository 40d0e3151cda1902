#pragma once

#include <string>

#include "agent/os/status.h"

namespace cryopod::ctl {

// Where an installation lies and what of the node it touches. Paths are absolute.
struct NodePaths {
  std::string prefix;  // of this installation: bin, lib, libexec, share
  std::string containerd_config = "/etc/containerd/config.toml";
  std::string containerd_socket = "/run/containerd/containerd.sock";
  std::string etc_dir = "/etc/cryopod";
  std::string unit_dir = "/etc/systemd/system";
  std::string systemd_mark = "/run/systemd/system";  // there while systemd runs: sd_booted(3)
  std::string state_dir = "/var/lib/cryopod";
  std::string run_dir = "/run/cryopod";

  std::string agent_program() const { return prefix + "/bin/cryopod-agent"; }
  std::string gateway_program() const { return prefix + "/bin/cryopod-gateway"; }
  std::string runtime_program() const { return prefix + "/bin/cryopod-runtime"; }
  std::string share_dir() const { return prefix + "/share/cryopod"; }
  std::string record_file() const { return state_dir + "/installation.json"; }
  // Copies of the containerd configuration as it was found, and as it was left.
  std::string copies_dir() const { return state_dir + "/installation"; }
  std::string agent_socket() const { return run_dir + "/agent.sock"; }
};

// The one that this program lies in: <prefix>/bin/cryopodctl. Errors: kFailedPrecondition.
Result<NodePaths> ThisInstallation();

inline constexpr char kSystemUser[] = "cryopod";

}  // namespace cryopod::ctl
