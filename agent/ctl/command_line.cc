#include "agent/ctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "agent/ctl/exit_code.h"

namespace cryopod::ctl {
namespace {

constexpr unsigned kTimeoutSecondsMax = 86'400;
constexpr char kPod[] = "NAMESPACE/POD, or a sandbox ID";
constexpr char kArchive[] = "NAME or NAME@sha256:DIGEST";

// Declares all verbs with their options, which are read into one CommandLine.
class Parser {
 public:
  Parser() {
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.footer(ExitCodeTable());
    app_.set_version_flag("--version", std::string("cryopodctl ") + CRYOPOD_VERSION);
    AddPath(&app_, "--socket", line_.socket, "Socket of the agent")
        ->envname("CRYOPOD_SOCKET")
        ->take_last();
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
    app_.add_subcommand("metrics", "Print the agent's metrics in Prometheus text format");
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

  static CLI::Option* AddPath(CLI::App* command, const char* name, std::string& path,
                              const char* help) {
    return command->add_option(name, path, help)->type_name("PATH")->default_str(path);
  }

  // Of a checkpoint and of a restore.
  void AddTimeoutAndOperation(CLI::App* command) {
    command
        ->add_option("--timeout", line_.timeout_seconds,
                     "Seconds for the whole operation (the agent's default otherwise)")
        ->check(CLI::Range(1u, kTimeoutSecondsMax))
        ->type_name("SECONDS");
    command
        ->add_option("--operation", line_.operation,
                     "ID for the operation; asked again with it, the agent finds the first")
        ->type_name("ID");
  }

  void AddCheckpoint() {
    CLI::App* command =
        app_.add_subcommand("checkpoint", "Checkpoint a running pod into an archive");
    command->add_option("POD", line_.pod, kPod)->required();
    command->add_option("--archive", line_.archive, "Name of the archive");
    command->add_flag("--stop", line_.stop, "Stop the pod once the archive is complete");
    command->add_flag("--without-volumes", line_.without_volumes,
                      "Leave out content that cannot be carried, and record that it is missing");
    AddTimeoutAndOperation(command);
  }

  void AddRestore() {
    CLI::App* command =
        app_.add_subcommand("restore", "Restore an archive as a new pod of the container runtime");
    command->add_option("ARCHIVE", line_.archive, kArchive)->required();
    CLI::Option* request = command->add_option(
        "--request", line_.request_file,
        "JSON file with \"config\" and \"container_configs\" of the new pod, - for standard input");
    CLI::Option* from_archive =
        command->add_flag("--request-from-archive", from_archive_,
                          "Let the archive decide mounts, users and privileges of the new pod");
    request->excludes(from_archive);
    command->add_option("--handler", line_.handler, "Runtime handler (cryopod)");
    AddTimeoutAndOperation(command);
  }

  void AddOperations() {
    const auto add = [this](const char* name, const char* description) {
      app_.add_subcommand(name, description)
          ->add_option("OPERATION", line_.operation, "ID, as `list` shows it")
          ->required();
    };
    add("wait", "Follow an operation to its end and tell what it came to");
    add("cancel", "End an operation, undo what it did, and wait for that");
    add("logs", "Print what CRIU logged for an operation that runs or has failed");
  }

  void AddArchives() {
    CLI::App* list =
        app_.add_subcommand("list", "List the archives of this node and the operations that run");
    list->add_option("--namespace", line_.pod_namespace, "Only archives of pods of this namespace");
    list->add_flag("--all", line_.all, "Also operations that have ended");
    AddArchive("inspect", "Show what an archive holds");
    AddArchive("verify", "Hash every blob of an archive");
    AddArchive("delete", "Remove an archive from this node");
  }

  CLI::App* AddArchive(const char* name, const char* description) {
    CLI::App* command = app_.add_subcommand(name, description);
    command->add_option("ARCHIVE", line_.archive, kArchive)->required();
    return command;
  }

  void AddTransfers() {
    CLI::App* exporting = AddArchive("export", "Write an archive into one tar file");
    exporting->add_option("--container", line_.container,
                          "Only this container, as the kubelet's checkpoint tar");
    exporting->add_option("-o,--file", line_.file,
                          "Output file, - for standard output (ARCHIVE.tar)");
    exporting->add_flag("--force", line_.force, "Replace an existing output file");
    CLI::App* importing =
        app_.add_subcommand("import", "Take an exported archive into this node's store");
    importing->add_option("FILE", line_.file, "The tar file, - for standard input")->required();
    importing->add_option("--archive", line_.archive,
                          "Name of the archive (the file's name without .tar)");
  }

  void AddNode() {
    CLI::App* node =
        app_.add_subcommand("node", "Show whether this node can checkpoint and restore");
    node->require_subcommand(0, 1);
    CLI::App* check =
        node->add_subcommand("check", "Name what this node lacks, with the reason and the remedy");
    AddPath(check, "--config", line_.config_file,
            "The agent's configuration, for when it does not answer");
    CLI::App* install = node->add_subcommand(
        "install", "Make this node use the cryopod that this program belongs to");
    AddPath(install, "--containerd-config", line_.containerd_config, "containerd's own file");
    CLI::App* uninstall = node->add_subcommand("uninstall", "Undo what `node install` has done");
    uninstall->add_flag("--purge", line_.purge,
                        "Remove archives, consumed records, operations and logs, too");
    for (CLI::App* command : {install, uninstall}) {
      command->add_flag("--no-restart", line_.no_restart, "Leave containerd as it runs");
    }
  }

  void AddPod() {
    CLI::App* pod = app_.add_subcommand("pod", "Run and remove pods where no kubelet does it");
    pod->require_subcommand(1);
    CLI::App* run = pod->add_subcommand("run", "Run a pod of the container runtime");
    run->add_option("FILE", line_.request_file,
                    "JSON with \"config\" and \"container_configs\", as for restore; - for "
                    "standard input")
        ->required();
    run->add_option("--handler", line_.handler_to_run, "Runtime handler")
        ->default_str(line_.handler_to_run);
    CLI::App* remove = pod->add_subcommand("remove", "Stop and remove a pod");
    remove->add_option("POD", line_.pod, kPod)->required();
    for (CLI::App* command : {run, remove}) {
      AddPath(command, "--runtime-socket", line_.runtime_socket, "CRI socket of the runtime");
    }
  }

  // The rules that CLI11 cannot state, and the names that follow from others.
  Result<CommandLine> Take() {
    line_.as_json = output_ == "json";
    const CLI::App* command = app_.get_subcommands().front();
    line_.verb = command->get_name();
    const std::vector<CLI::App*> inner = command->get_subcommands();
    if (!inner.empty()) line_.verb += " " + inner.front()->get_name();
    if (line_.verb == "restore" && !from_archive_ && line_.request_file.empty()) {
      return Status(Code::kInvalidArgument,
                    "restore needs --request FILE, or --request-from-archive to let the archive "
                    "decide mounts, users and privileges of the new pod");
    }
    if (line_.verb == "export" && line_.file.empty()) line_.file = ExportFileName();
    if (line_.verb == "import" && line_.archive.empty()) {
      if (line_.file == "-") {
        return Status(Code::kInvalidArgument, "import from standard input needs --archive NAME");
      }
      line_.archive = ArchiveName(line_.file);
    }
    return line_;
  }

  std::string ExportFileName() const {
    const std::string name = line_.archive.substr(0, line_.archive.find('@'));
    return name + (line_.container.empty() ? "" : "-" + line_.container) + ".tar";
  }

  static std::string ArchiveName(const std::filesystem::path& file) {
    return file.extension() == ".tar" ? file.stem() : file.filename();
  }

  CLI::App app_{"Checkpoints and restores whole pods on this node, through its cryopod-agent.",
                "cryopodctl"};
  CommandLine line_;
  std::string output_ = "text";
  bool from_archive_ = false;
};

}  // namespace

Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  return Parser().Parse(arguments);
}

}  // namespace cryopod::ctl
