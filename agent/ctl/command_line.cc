#include "agent/ctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <string_view>

#include "agent/ctl/completion.h"
#include "agent/ctl/exit_code.h"
#include "agent/os/text.h"

namespace cryopod::ctl {
namespace {

constexpr uint64_t kTimeoutSecondsMax = 86'400;
// In the order of terminal::Form.
const std::vector<std::string> kForms = {"text", "wide", "json", "yaml"};
constexpr char kPod[] = "NAMESPACE/POD, POD with --namespace, or a sandbox ID";
constexpr char kArchive[] = "NAME or NAME@sha256:DIGEST";

// Of "300", "90s", "5m", "1h" or "1m30s"; 0: it is none of them.
uint64_t SecondsOf(std::string_view text) {
  uint64_t total = 0;
  uint64_t number = 0;
  if (ParseNumber(text, number)) return number;
  std::string_view units = "hms";  // each at most once, in this order
  while (!text.empty()) {
    const size_t end = text.find_first_of("hms");
    const size_t unit = end == text.npos ? text.npos : units.find(text[end]);
    if (unit == text.npos || !ParseNumber(text.substr(0, end), number)) return 0;
    if (number > kTimeoutSecondsMax) return 0;
    total += number * (text[end] == 'h' ? 3600 : text[end] == 'm' ? 60 : 1);
    units.remove_prefix(unit + 1);
    text.remove_prefix(end + 1);
  }
  return total;
}

// Declares all verbs with their options, which are read into one CommandLine.
class Parser {
 public:
  Parser() {
    app_.require_subcommand(0, 1);
    app_.fallthrough();
    app_.set_version_flag("--version", std::string("cryopodctl ") + CRYOPOD_VERSION);
    AddPath(&app_, "--socket", line_.socket, "Socket of the agent")
        ->envname("CRYOPOD_SOCKET")
        ->take_last();
    app_.add_option("-o,--output", output_,
                    "For people (text, wide: with more columns) or for programs (json, yaml)")
        ->check(CLI::IsMember(kForms))
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
    AddAboutItself();
    AddFooters();
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
    if (app_.get_subcommands().empty() && !unknown.empty()) {
      return "there is no command \"" + unknown.front() + "\"";
    }
    const std::string said = error.what();
    const bool is_file = app_.got_subcommand("export") && said.starts_with("--output: ");
    return said + (is_file ? "; the file to export to is named by --file" : "");
  }

  static CLI::Option* AddPath(CLI::App* command, const char* name, std::string& path,
                              const char* help) {
    return command->add_option(name, path, help)->type_name("PATH")->default_str(path);
  }

  // Of a checkpoint and of a restore.
  void AddTimeoutAndOperation(CLI::App* command) {
    command
        ->add_option_function<std::string>(
            "--timeout", [this](const std::string& text) { TakeTimeout(text); },
            "For the whole operation: 300 (seconds), 90s, 5m, 1h, 1m30s (the agent's otherwise)")
        ->type_name("DURATION");
    command
        ->add_option("--operation", line_.operation,
                     "ID for the operation; asked again with it, the agent finds the first")
        ->type_name("ID");
  }

  CLI::Option* AddNamespace(CLI::App* command, const char* help) {
    return command->add_option("-n,--namespace", line_.pod_namespace, help)->type_name("NS");
  }

  void AddThePod(CLI::App* command) {
    command->add_option("POD", line_.pod, kPod)->required();
    AddNamespace(command, "The pod's namespace, where POD does not name it");
  }

  void AddCheckpoint() {
    CLI::App* command =
        app_.add_subcommand("checkpoint", "Checkpoint a running pod into an archive");
    AddThePod(command);
    command->add_option("--archive", line_.archive, "Name of the archive");
    command->add_flag("--stop", line_.stop, "Stop the pod once the archive is complete");
    command->add_flag("--without-volumes", line_.without_volumes,
                      "Leave out content that cannot be carried, and record that it is missing");
    command->add_flag("--restore-once", line_.restore_once,
                      "On each node only one pod is ever restored from the archive");
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
    command
        ->add_option("--differences", line_.differences,
                     "In what the new pod may differ from the checkpointed one: image, command, "
                     "working-directory")
        ->type_name("NAMES");
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
    list->alias("ls");
    AddNamespace(list, "Only archives of pods of this namespace");
    list->add_flag("--all", line_.all, "Also operations that have ended");
    AddArchives("inspect", "Show what archives hold");
    AddArchives("verify", "Hash every blob of archives");
    AddArchives("delete", "Remove archives from this node")->alias("rm");
  }

  CLI::App* AddArchives(const char* name, const char* description) {
    CLI::App* command = app_.add_subcommand(name, description);
    command->add_option("ARCHIVE", line_.archives, kArchive)->required();
    return command;
  }

  void AddTransfers() {
    CLI::App* exporting = app_.add_subcommand("export", "Write an archive into one tar file");
    exporting->add_option("ARCHIVE", line_.archive, kArchive)->required();
    exporting->add_option("--container", line_.container,
                          "Only this container, as the kubelet's checkpoint tar");
    exporting->add_option("-f,--file", line_.file,
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
    AddThePod(remove);
    for (CLI::App* command : {run, remove}) {
      AddPath(command, "--runtime-socket", line_.runtime_socket, "CRI socket of the runtime");
    }
  }

  void AddAboutItself() {
    app_.add_subcommand("version", "Show the version of cryopodctl and of the agent");
    CLI::App* completion = app_.add_subcommand(
        "completion",
        "Print a script that completes commands: source <(cryopodctl completion bash)");
    completion->require_subcommand(1);
    completion->add_subcommand("bash", "For bash");
    completion->add_subcommand("zsh", "For zsh, after compinit");
  }

  // A verb's help shows what is declared for all of them; the exit codes stand in the first only.
  void AddFooters() {
    std::string common =
        CLI::Formatter().make_group("Options of every command", false,
                                    {app_.get_option("--socket"), app_.get_option("--output")});
    common.erase(0, 1);  // CLI11 sets a footer apart itself
    const auto any = [](CLI::App*) { return true; };
    for (CLI::App* command : app_.get_subcommands(any)) {
      command->footer(common);
      for (CLI::App* inner : command->get_subcommands(any)) inner->footer(common);
    }
    app_.footer(ExitCodeTable());
  }

  void TakeTimeout(const std::string& text) {
    const uint64_t seconds = SecondsOf(text);
    if (seconds == 0 || seconds > kTimeoutSecondsMax) {
      throw CLI::ValidationError("--timeout",
                                 "\"" + text +
                                     "\" is no time from 1s to 24h, such as 300 (seconds), 90s, "
                                     "5m, 1h or 1m30s");
    }
    line_.timeout_seconds = static_cast<unsigned>(seconds);
  }

  Status TakePod() {
    if (line_.pod.empty() || line_.pod_namespace.empty()) return Status();
    const size_t slash = line_.pod.find('/');
    if (slash == std::string::npos) {
      line_.pod = line_.pod_namespace + "/" + line_.pod;
    } else if (line_.pod.substr(0, slash) != line_.pod_namespace) {
      return Status(Code::kInvalidArgument, "\"" + line_.pod + "\" is not in namespace \"" +
                                                line_.pod_namespace +
                                                "\"; name one namespace, by --namespace or in POD");
    }
    return Status();
  }

  // The rules that CLI11 cannot state, and the names that follow from others.
  Result<CommandLine> Take() {
    if (app_.get_subcommands().empty()) {
      line_.help = app_.help();
      return line_;
    }
    const CLI::App* command = app_.get_subcommands().front();
    line_.verb = command->get_name();
    const std::vector<CLI::App*> inner = command->get_subcommands();
    if (!inner.empty()) line_.verb += " " + inner.front()->get_name();
    line_.form = static_cast<terminal::Form>(std::ranges::find(kForms, output_) - kForms.begin());
    CRYOPOD_RETURN_IF_ERROR(TakePod());
    if (command->get_name() == "completion") {
      line_.help = CompletionScript(app_, inner.front()->get_name());
    }
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
