#pragma once

#include <string>

#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::ctl {

// Where an installation lies and what of the node it touches. Paths are absolute.
struct NodePaths {
  std::string prefix;  // of this installation: bin, lib, libexec, share
  std::string containerd_config = "/etc/containerd/config.toml";
  std::string etc_dir = "/etc/cryopod";
  std::string unit_dir = "/etc/systemd/system";
  std::string systemd_mark = "/run/systemd/system";  // there while systemd runs: sd_booted(3)
  std::string record_dir = "/var/lib/cryopod";       // whatever the configuration names as state
  settings::AgentSettings agent;                     // the defaults, until ReadAgentSettings()

  std::string agent_program() const { return prefix + "/bin/cryopod-agent"; }
  std::string gateway_program() const { return prefix + "/bin/cryopod-gateway"; }
  std::string runtime_program() const { return prefix + "/bin/cryopod-runtime"; }
  std::string share_dir() const { return prefix + "/share/cryopod"; }
  std::string drop_in() const {
    return containerd_config.substr(0, containerd_config.rfind('/') + 1) + "conf.d/cryopod.toml";
  }
  std::string settings_file() const { return etc_dir + "/cryopod.toml"; }
  std::string runtime_conf() const { return etc_dir + "/runtime.conf"; }
  std::string record_file() const { return record_dir + "/installation.json"; }
  // The containerd configuration as it was found, and as it was left.
  std::string copies_dir() const { return record_dir + "/installation"; }
  std::string copy_before() const { return copies_dir() + "/containerd.toml.before"; }
  std::string copy_after() const { return copies_dir() + "/containerd.toml.after"; }
};

// The one that this program lies in: <prefix>/bin/cryopodctl. Errors: kFailedPrecondition.
Result<NodePaths> ThisInstallation();

// What the node's cryopod.toml says, if there is one. Errors: as settings::ReadSettingsFile().
Status ReadAgentSettings(NodePaths& paths);

}  // namespace cryopod::ctl
