#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agent/settings/program.h"

namespace cryopod::settings {

// Everything that can be told cryopod-agent. Paths are absolute.
struct AgentSettings {
  std::string run_dir = "/run/cryopod";        // sockets, jobs; may be empty after a reboot
  std::string state_dir = "/var/lib/cryopod";  // archives, consumed records, logs, disk staging
  std::string containerd_socket = "/run/containerd/containerd.sock";
  std::string runtime_root = "/run/containerd/runc/k8s.io";  // runc's state of CRI containers
  std::string criu_program = "criu";                         // a path, or a name in PATH
  std::string libexec_dir;  // of this installation; empty: beside the program
  uint32_t checkpoint_timeout_s = 300;
  uint32_t freeze_budget_ms = 2000;  // beyond the first try, before it is given up
  uint32_t restore_timeout_s = 300;
  uint32_t restore_idle_timeout_s = 600;  // a staged restore that nobody asks for
  uint32_t restore_hold_ms = 1000;        // a started container waits this long for the others
  std::string restore_namespaces;         // pairs FROM:TO of those who share archives
  bool import_without_landlock = false;   // and restore what was imported
  std::string reader_group = "cryopod";   // may open the readers' socket
  std::string log_level = "info";

  std::string agent_socket() const { return run_dir + "/agent.sock"; }
  std::string reader_socket() const { return run_dir + "/reader.sock"; }
  std::string runtime_socket() const { return run_dir + "/runtime.sock"; }
  std::string jobs_dir() const { return run_dir + "/jobs"; }
  std::string store_root() const { return state_dir + "/archives"; }
  std::string hold_plugin() const { return libexec_dir + "/plugin/cryopod_hold.so"; }
  std::string criu_tools_dir() const { return libexec_dir + "/criu-tools"; }
  std::string checkpoint_program() const { return libexec_dir + "/cryopod-checkpoint"; }
  std::string restore_program() const { return libexec_dir + "/cryopod-restore"; }
  std::string unpack_program() const { return libexec_dir + "/cryopod-unpack"; }
};

// The section [agent], read into `settings`, which must outlive what is returned.
Program AgentProgram(AgentSettings& settings, const std::string& version);

// What cryopod-runtime has to know without an agent, by the keys of its runtime.conf.
std::map<std::string, std::string> SharedWithRuntime(const AgentSettings& settings);

// ../libexec/cryopod beside the program that runs: the prefix may move.
std::string LibexecBesideUs();

}  // namespace cryopod::settings
