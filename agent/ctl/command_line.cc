#include "agent/ctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "agent/api/client.h"
#include "agent/ctl/exit_code.h"
#include "agent/settings/program.h"

#ifndef CRYOPOD_VERSION
#define CRYOPOD_VERSION "unknown"
#endif

namespace cryopod::ctl {
namespace {

constexpr unsigned kTimeoutSecondsMax = 86'400;
constexpr char kContainerdConfig[] = "/etc/containerd/config.toml";
constexpr char kRuntimeSocket[] = "/run/containerd/containerd.sock";

// Declares all options; what was parsed stands in its members afterwards.
class Parser {
 public:
  Parser() {
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.footer(ExitCodeTable());
    app_.set_version_flag("--version", std::string("cryopodctl ") + CRYOPOD_VERSION);
    app_.add_option("--socket", line_.socket, "Socket of the agent")
        ->envname("CRYOPOD_SOCKET")
        ->type_name("PATH")
        ->take_last()
        ->default_str(line_.socket);
    app_.add_option("--output", output_, "For people (text) or for programs (json)")
        ->check(CLI::IsMember({"text", "json"}))
        ->type_name("FORMAT")
        ->take_last()
        ->default_str(output_);
    AddCheckpoint();
    AddRestore();
    AddOperations();
    AddArchives();
    AddTransfers();
    AddNode();
    AddPod();
  }

  Result<CommandLine> Parse(std::vector<std::string> arguments) {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the end
    try {
      app_.parse(arguments);
    } catch (const CLI::CallForHelp&) {
      line_.help = app_.help();
      return line_;
    } catch (const CLI::Success& version) {
      line_.help = std::string(version.what()) + "\n";
      return line_;
    } catch (const CLI::ParseError& error) {
      return Status(Code::kInvalidArgument,
                    Describe(error) + "; `cryopodctl --help` shows the usage");
    }
    return Take();
  }

 private:
  // CLI11 misses a known subcommand before it complains of the unknown one.
  std::string Describe(const CLI::ParseError& error) const {
    const std::vector<std::string> unknown = app_.remaining();
    return app_.get_subcommands().empty() && !unknown.empty()
               ? "there is no command \"" + unknown.front() + "\""
               : error.what();
  }

  CLI::App* Add(const char* name, const char* description) {
    return app_.add_subcommand(name, description);
  }

  static void AddTimeout(CLI::App* command, unsigned* timeout_seconds) {
    command
        ->add_option("--timeout", *timeout_seconds,
                     "Seconds for the whole operation (the agent's default otherwise)")
        ->check(CLI::Range(1u, kTimeoutSecondsMax))
        ->type_name("SECONDS");
  }

  static void AddOperation(CLI::App* command, std::string* operation) {
    command
        ->add_option("--operation", *operation,
                     "ID for the operation; asked again with it, the agent finds the first")
        ->type_name("ID");
  }

  void AddOperations() {
    const auto add = [this](const char* name, const char* description, auto* into) {
      CLI::App* command = Add(name, description);
      command->add_option("OPERATION", into->operation, "ID, as `list` shows it")->required();
      command->callback([this, into] { line_.command = *into; });
    };
    add("wait", "Follow an operation to its end and tell what it came to", &wait_);
    add("cancel", "End an operation, undo what it did, and wait for that", &cancel_);
    add("logs", "Print what CRIU logged for an operation that runs or has failed", &logs_);
  }

  void AddCheckpoint() {
    CLI::App* command = Add("checkpoint", "Checkpoint a running pod into an archive");
    command->add_option("POD", checkpoint_.pod, "NAMESPACE/POD, or a sandbox ID")->required();
    command->add_option("--archive", checkpoint_.archive, "Name of the archive");
    command->add_flag("--stop", checkpoint_.stop, "Stop the pod once the archive is complete");
    command->add_flag("--without-volumes", checkpoint_.without_volumes,
                      "Leave out content that cannot be carried, and record that it is missing");
    AddTimeout(command, &checkpoint_.timeout_seconds);
    AddOperation(command, &checkpoint_.operation);
    command->callback([this] { line_.command = checkpoint_; });
  }

  void AddRestore() {
    CLI::App* command = Add("restore", "Restore an archive as a new pod of the container runtime");
    command->add_option("ARCHIVE", restore_.archive, "NAME or NAME@sha256:DIGEST")->required();
    CLI::Option* request = command->add_option(
        "--request", restore_.request_file,
        "JSON file with \"config\" and \"container_configs\" of the new pod, - for standard input");
    CLI::Option* from_archive =
        command->add_flag("--request-from-archive", from_archive_,
                          "Let the archive decide mounts, users and privileges of the new pod");
    request->excludes(from_archive);
    command->add_option("--handler", restore_.handler, "Runtime handler (cryopod)");
    AddTimeout(command, &restore_.timeout_seconds);
    AddOperation(command, &restore_.operation);
    command->callback([this] { line_.command = restore_; });
  }

  void AddArchives() {
    CLI::App* list = Add("list", "List the archives of this node and the operations that run");
    list->add_option("--namespace", list_.pod_namespace, "Only archives of pods of this namespace");
    list->add_flag("--all", list_.all, "Also operations that have ended");
    list->callback([this] { line_.command = list_; });
    AddArchive("inspect", "Show what an archive holds", &inspect_);
    AddArchive("verify", "Hash every blob of an archive", &verify_);
    AddArchive("delete", "Remove an archive from this node", &delete_);
  }

  template <typename ArchiveCommand>
  void AddArchive(const char* name, const char* description, ArchiveCommand* into) {
    CLI::App* command = Add(name, description);
    command->add_option("ARCHIVE", into->archive, "NAME or NAME@sha256:DIGEST")->required();
    command->callback([this, into] { line_.command = *into; });
  }

  void AddTransfers() {
    CLI::App* exporting = Add("export", "Write an archive into one tar file");
    exporting->add_option("ARCHIVE", export_.archive, "NAME or NAME@sha256:DIGEST")->required();
    exporting->add_option("--container", export_.container,
                          "Only this container, as the kubelet's checkpoint tar");
    exporting->add_option("-o,--file", export_.file,
                          "Output file, - for standard output (ARCHIVE.tar)");
    exporting->add_flag("--force", export_.force, "Replace an existing output file");
    exporting->callback([this] { line_.command = export_; });
    CLI::App* importing = Add("import", "Take an exported archive into this node's store");
    importing->add_option("FILE", import_.file, "The tar file, - for standard input")->required();
    importing->add_option("--archive", import_.archive,
                          "Name of the archive (the file's name without .tar)");
    importing->callback([this] { line_.command = import_; });
  }

  void AddNode() {
    CLI::App* node = Add("node", "Show whether this node can checkpoint and restore");
    node->require_subcommand(0, 1);
    // Called after the one of a subcommand.
    node->callback([this, node] {
      if (node->get_subcommands().empty()) line_.command = NodeCommand();
    });
    AddNodeCheck(node);
    AddNodeInstall(node);
    AddNodeUninstall(node);
    Add("metrics", "Print the agent's metrics in Prometheus text format")->callback([this] {
      line_.command = MetricsCommand();
    });
  }

  void AddNodeCheck(CLI::App* node) {
    CLI::App* command =
        node->add_subcommand("check", "Name what this node lacks, with the reason and the remedy");
    command
        ->add_option("--config", check_.config_file,
                     "The agent's configuration, for when it does not answer")
        ->type_name("PATH")
        ->default_str(check_.config_file);
    command->callback([this] { line_.command = check_; });
  }

  void AddNodeInstall(CLI::App* node) {
    CLI::App* command = node->add_subcommand(
        "install", "Make this node use the cryopod that this program belongs to");
    command->add_option("--containerd-config", install_.containerd_config, "containerd's own file")
        ->type_name("PATH")
        ->default_str(install_.containerd_config);
    command->add_flag("--no-restart", install_.no_restart, "Leave containerd as it runs");
    command->callback([this] { line_.command = install_; });
  }

  void AddNodeUninstall(CLI::App* node) {
    CLI::App* command = node->add_subcommand("uninstall", "Undo what `node install` has done");
    command->add_flag("--purge", uninstall_.purge,
                      "Remove archives, consumed records, operations and logs, too");
    command->add_flag("--no-restart", uninstall_.no_restart, "Leave containerd as it runs");
    command->callback([this] { line_.command = uninstall_; });
  }

  void AddPod() {
    CLI::App* pod = Add("pod", "Run and remove pods where no kubelet does it");
    pod->require_subcommand(1);
    CLI::App* run = pod->add_subcommand("run", "Run a pod of the container runtime");
    run->add_option("FILE", run_pod_.request_file,
                    "JSON with \"config\" and \"container_configs\", as for restore; - for "
                    "standard input")
        ->required();
    run->add_option("--handler", run_pod_.handler, "Runtime handler")
        ->default_str(run_pod_.handler);
    run->callback([this] { line_.command = run_pod_; });
    CLI::App* remove = pod->add_subcommand("remove", "Stop and remove a pod");
    remove->add_option("POD", remove_pod_.pod, "NAMESPACE/POD, or a sandbox ID")->required();
    remove->callback([this] { line_.command = remove_pod_; });
    for (const auto& [command, socket] : {std::pair{run, &run_pod_.runtime_socket},
                                          std::pair{remove, &remove_pod_.runtime_socket}}) {
      command->add_option("--runtime-socket", *socket, "CRI socket of the runtime")
          ->type_name("PATH")
          ->default_str(*socket);
    }
  }

  // The rules that CLI11 cannot state, and the names that follow from others.
  Result<CommandLine> Take() {
    line_.output = output_ == "json" ? Output::kJson : Output::kText;
    if (std::holds_alternative<RestoreCommand>(line_.command) && !from_archive_ &&
        restore_.request_file.empty()) {
      return Status(Code::kInvalidArgument,
                    "restore needs --request FILE, or --request-from-archive to let the archive "
                    "decide mounts, users and privileges of the new pod");
    }
    if (auto* exporting = std::get_if<ExportCommand>(&line_.command)) {
      if (exporting->file.empty()) exporting->file = ExportFileName(*exporting);
    }
    if (auto* importing = std::get_if<ImportCommand>(&line_.command)) {
      if (importing->archive.empty() && importing->file == "-") {
        return Status(Code::kInvalidArgument, "import from standard input needs --archive NAME");
      }
      if (importing->archive.empty()) importing->archive = ArchiveName(importing->file);
    }
    return line_;
  }

  static std::string ExportFileName(const ExportCommand& command) {
    const std::string name = command.archive.substr(0, command.archive.find('@'));
    return name + (command.container.empty() ? "" : "-" + command.container) + ".tar";
  }

  static std::string ArchiveName(const std::string& file) {
    const std::filesystem::path path(file);
    return path.extension() == ".tar" ? path.stem().string() : path.filename().string();
  }

  CLI::App app_{"Checkpoints and restores whole pods on this node, through its cryopod-agent.",
                "cryopodctl"};
  CommandLine line_{api::kDefaultSocket, Output::kText, NodeCommand(), ""};
  std::string output_ = "text";
  CheckpointCommand checkpoint_;
  RestoreCommand restore_;
  bool from_archive_ = false;
  WaitCommand wait_;
  CancelCommand cancel_;
  LogsCommand logs_;
  ListCommand list_;
  InspectCommand inspect_;
  VerifyCommand verify_;
  DeleteCommand delete_;
  ExportCommand export_;
  ImportCommand import_;
  NodeCheckCommand check_{settings::kDefaultFile};
  NodeInstallCommand install_{kContainerdConfig};
  NodeUninstallCommand uninstall_;
  PodRunCommand run_pod_{"", "cryopod", kRuntimeSocket};
  PodRemoveCommand remove_pod_{"", kRuntimeSocket};
};

}  // namespace

Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  return Parser().Parse(arguments);
}

}  // namespace cryopod::ctl
