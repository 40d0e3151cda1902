#pragma once

#include <string>
#include <variant>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::ctl {

enum class Output { kText, kJson };

struct CheckpointCommand {
  std::string pod;
  std::string archive;
  bool stop = false;
  bool without_volumes = false;
  unsigned timeout_seconds = 0;
  std::string operation;  // its ID; empty: the agent makes one
};
struct RestoreCommand {
  std::string archive;
  std::string request_file;  // "-": standard input; empty: from the archive
  std::string handler;
  unsigned timeout_seconds = 0;
  std::string operation;
};
struct WaitCommand {
  std::string operation;
};
struct CancelCommand {
  std::string operation;
};
struct LogsCommand {
  std::string operation;
};
struct ListCommand {
  std::string pod_namespace;
  bool all = false;  // also operations that have ended
};
struct InspectCommand {
  std::string archive;
};
struct VerifyCommand {
  std::string archive;
};
struct DeleteCommand {
  std::string archive;
};
struct ExportCommand {
  std::string archive;
  std::string container;
  std::string file;  // "-": standard output
  bool force = false;
};
struct ImportCommand {
  std::string file;  // "-": standard input
  std::string archive;
};
struct NodeCommand {};
struct NodeCheckCommand {
  std::string config_file;  // of the agent, for when it does not answer
};
struct NodeInstallCommand {
  std::string containerd_config;
  bool no_restart = false;
};
struct NodeUninstallCommand {
  bool purge = false;
  bool no_restart = false;
};
struct PodRunCommand {
  std::string request_file;  // "-": standard input
  std::string handler;
  std::string runtime_socket;
};
struct PodRemoveCommand {
  std::string pod;
  std::string runtime_socket;
};
struct MetricsCommand {};

using Command =
    std::variant<CheckpointCommand, RestoreCommand, WaitCommand, CancelCommand, LogsCommand,
                 ListCommand, InspectCommand, VerifyCommand, DeleteCommand, ExportCommand,
                 ImportCommand, NodeCommand, NodeCheckCommand, NodeInstallCommand,
                 NodeUninstallCommand, PodRunCommand, PodRemoveCommand, MetricsCommand>;

struct CommandLine {
  std::string socket;
  Output output = Output::kText;
  Command command;
  std::string help;  // not empty: print it and do nothing else
};

// `arguments` without the program's name. Reads CRYOPOD_SOCKET from the environment.
// Errors: kInvalidArgument, names the argument.
Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments);

}  // namespace cryopod::ctl
