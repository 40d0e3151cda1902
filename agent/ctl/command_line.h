#pragma once

#include <string>
#include <vector>

#include "agent/api/client.h"
#include "agent/os/status.h"
#include "agent/settings/program.h"
#include "agent/terminal/document.h"

namespace cryopod::ctl {

// What was typed: a verb, and the options of all verbs, of which each reads its own.
struct CommandLine {
  std::string verb;  // "checkpoint", "node check"
  std::string help;  // not empty: print it and do nothing else
  std::string socket = api::kDefaultSocket;
  terminal::Form form = terminal::Form::kText;

  std::string pod;
  std::string archive;
  std::vector<std::string> archives;  // of a verb that takes several: each in its turn
  std::string container;
  std::string operation;      // its ID; empty: the agent makes one
  std::string pod_namespace;  // of `list`; that of a pod is in `pod`
  unsigned timeout_seconds = 0;
  bool stop = false;
  bool without_volumes = false;
  bool restore_once = false;
  bool all = false;          // also operations that have ended
  std::string request_file;  // "-": standard input; empty: from the archive
  std::string differences;   // that a restored pod may have
  std::string handler;
  std::string handler_to_run = "cryopod";  // of a pod that is not restored
  std::string runtime_socket = "/run/containerd/containerd.sock";
  std::string file;  // to export to, to import from; "-": standard output, input
  bool force = false;
  std::string config_file = settings::kDefaultFile;  // of the agent, when it does not answer
  std::string containerd_config = "/etc/containerd/config.toml";
  bool no_restart = false;
  bool purge = false;
};

// `arguments` without the program's name. Reads CRYOPOD_SOCKET from the environment.
// Errors: kInvalidArgument, names the argument.
Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments);

}  // namespace cryopod::ctl
