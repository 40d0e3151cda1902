#include "agent/ctl/commands.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>

#include "agent/api/client.h"
#include "agent/ctl/answer_json.h"
#include "agent/ctl/answer_text.h"
#include "agent/ctl/command_line.h"
#include "agent/ctl/export_file.h"
#include "agent/ctl/install/node_install.h"
#include "agent/ctl/node_check.h"
#include "agent/ctl/pod_requests.h"
#include "agent/os/file.h"
#include "agent/os/text.h"
#include "agent/terminal/progress.h"
#include "agent/terminal/text.h"

namespace cryopod::ctl {
namespace {

using std::chrono::seconds;

// Answers that cost the agent a look into its store.
constexpr seconds kShortWait{60};
// Operations that read or write whole archives, and those whose time the agent chooses.
constexpr seconds kLongWait{2 * 3600};
// So that the agent's own word about a passed deadline arrives before ours.
constexpr seconds kAnswerGrace{30};
// Of a runtime that makes or ends a pod.
constexpr seconds kPodTimeout{300};
constexpr size_t kRequestBytesMax = size_t{4} << 20;

Deadline OperationDeadline(unsigned timeout_seconds) {
  return Deadline::After(timeout_seconds > 0 ? seconds(timeout_seconds) + kAnswerGrace : kLongWait);
}

// A local file that is not there is the caller's mistake and no missing pod or archive.
Status AsUsage(const Status& status) {
  return status.code() == Code::kNotFound ? Status(Code::kInvalidArgument, status.message())
                                          : status;
}

// A log holds names of a stranger's making.
std::string LinesOf(std::string_view log) {
  std::string lines;
  const std::vector<std::string_view> parts = Split(log, '\n');
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) lines += '\n';
    lines += Printable(parts[i], log.size() + 1);
  }
  return lines;
}

// One command against one agent; every method prints its answer.
class Commands {
 public:
  Commands(const CommandLine& line, const terminal::Console& console)
      : line_(line), console_(console), client_(line.socket) {}

  Status operator()(const CheckpointCommand& command) {
    api::CheckpointRequest request;
    request.pod = command.pod;
    request.archive = command.archive;
    request.stop_source = command.stop;
    request.without_volumes = command.without_volumes;
    request.timeout = seconds(command.timeout_seconds);
    request.operation_id = command.operation;
    const auto run = [&](const api::ProgressSink& sink) {
      return client_.Checkpoint(request, sink, OperationDeadline(command.timeout_seconds),
                                &failure_);
    };
    CRYOPOD_ASSIGN_OR_RETURN(const api::CheckpointResult result,
                             WithProgress("checkpoint " + command.pod, run));
    return Answer(result);
  }

  Status operator()(const RestoreCommand& command) {
    api::RestoreRequest request;
    request.archive = command.archive;
    request.runtime_handler = command.handler;
    request.timeout = seconds(command.timeout_seconds);
    request.operation_id = command.operation;
    request.request_from_archive = command.request_file.empty();
    if (!request.request_from_archive) {
      CRYOPOD_ASSIGN_OR_RETURN(request.request_json, ReadRequest(command.request_file));
    }
    const auto run = [&](const api::ProgressSink& sink) {
      return client_.Restore(request, sink, OperationDeadline(command.timeout_seconds), &failure_);
    };
    CRYOPOD_ASSIGN_OR_RETURN(const api::RestoreResult result,
                             WithProgress("restore " + command.archive, run));
    return Answer(result);
  }

  Status operator()(const WaitCommand& command) {
    CRYOPOD_ASSIGN_OR_RETURN(const api::OperationResult result, Wait(command.operation));
    return std::visit([this](const auto& answer) { return Answer(answer); }, result);
  }

  Status operator()(const CancelCommand& command) {
    CRYOPOD_RETURN_IF_ERROR(client_.Cancel(command.operation, Deadline::After(kShortWait))
                                .While("cancel " + command.operation));
    const Result<api::OperationResult> result = Wait(command.operation);
    // It ended well before it could be ended: its answer is what there is to know.
    if (result.ok()) {
      return std::visit([this](const auto& answer) { return Answer(answer); }, *result);
    }
    if (result.status().code() != Code::kCancelled) return result.status();
    return terminal::PrintAnswer(console_,
                                 line_.output == Output::kJson
                                     ? CancellationToJson(command.operation)
                                     : "cancelled " + terminal::OneLine(command.operation) + "\n");
  }

  // Text whatever --output says.
  Status operator()(const LogsCommand& command) {
    std::string current;
    const auto print = [&](std::string_view name, std::string_view text) {
      const bool next = name != current;
      current = name;
      const std::string head = next ? "==> " + terminal::OneLine(name) + " <==\n" : "";
      return terminal::PrintAnswer(console_, head + LinesOf(text));
    };
    return client_.Logs(command.operation, print, Deadline::After(kShortWait))
        .While("logs " + command.operation);
  }

  Status operator()(const ListCommand& command) {
    CRYOPOD_ASSIGN_OR_RETURN(
        const api::Listing listing,
        client_.List(command.pod_namespace, Deadline::After(kShortWait), command.all));
    return Answer(listing);
  }

  Status operator()(const InspectCommand& command) {
    CRYOPOD_ASSIGN_OR_RETURN(const api::Inspection inspection,
                             client_.Inspect(command.archive, Deadline::After(kShortWait))
                                 .While("inspect " + command.archive));
    return Answer(inspection);
  }

  Status operator()(const VerifyCommand& command) {
    CRYOPOD_ASSIGN_OR_RETURN(const api::Verification verification,
                             client_.Verify(command.archive, Deadline::After(kLongWait))
                                 .While("verify " + command.archive));
    return Answer(verification);
  }

  Status operator()(const DeleteCommand& command) {
    CRYOPOD_RETURN_IF_ERROR(client_.Delete(command.archive, Deadline::After(kShortWait))
                                .While("delete " + command.archive));
    return terminal::PrintAnswer(console_,
                                 line_.output == Output::kJson
                                     ? DeletionToJson(command.archive)
                                     : "deleted " + terminal::OneLine(command.archive) + "\n");
  }

  Status operator()(const ExportCommand& command) {
    return (command.file == "-" ? ExportToOut(command) : ExportToFile(command))
        .While("export " + command.archive);
  }

  Status operator()(const ImportCommand& command) {
    int fd = console_.in;
    UniqueFd file;
    if (command.file != "-") {
      Result<UniqueFd> opened = OpenAt(AT_FDCWD, command.file, O_RDONLY);
      if (!opened.ok()) return AsUsage(opened.status()).While("import");
      file = std::move(opened).value();
      fd = file.get();
    }
    CRYOPOD_ASSIGN_OR_RETURN(const api::ArchiveSummary archive,
                             client_.Import(command.archive, fd, Deadline::After(kLongWait))
                                 .While("import " + command.file + " as " + command.archive));
    return Answer(archive);
  }

  Status operator()(const NodeCommand&) {
    CRYOPOD_ASSIGN_OR_RETURN(const api::NodeInfo node,
                             client_.DescribeNode(Deadline::After(kShortWait)));
    return Answer(node);
  }

  Status operator()(const NodeCheckCommand& command) {
    CRYOPOD_ASSIGN_OR_RETURN(
        const std::vector<api::Requirement> requirements,
        CheckNode(client_, {line_.socket, command.config_file}, Deadline::After(kShortWait)));
    node_is_unfit_ = AnyLacking(requirements);
    return Answer(requirements);
  }

  Status operator()(const NodeInstallCommand& command) {
    CRYOPOD_ASSIGN_OR_RETURN(NodePaths paths, ThisInstallation());
    paths.containerd_config = command.containerd_config;
    ChangeReport report(console_, line_.output == Output::kJson);
    return InstallNode(paths, {.restart = !command.no_restart}, report).While("node install");
  }

  Status operator()(const NodeUninstallCommand& command) {
    CRYOPOD_ASSIGN_OR_RETURN(const NodePaths paths, ThisInstallation());
    ChangeReport report(console_, line_.output == Output::kJson);
    return UninstallNode(paths, {.purge = command.purge, .restart = !command.no_restart}, report)
        .While("node uninstall");
  }

  Status operator()(const PodRunCommand& command) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string request, ReadRequest(command.request_file));
    CRYOPOD_ASSIGN_OR_RETURN(
        const RunningPod pod,
        RunPod(command.runtime_socket, request, command.handler, Deadline::After(kPodTimeout))
            .While("pod run"));
    return terminal::PrintAnswer(console_,
                                 line_.output == Output::kJson ? ToJson(pod) : ToText(pod));
  }

  Status operator()(const PodRemoveCommand& command) {
    CRYOPOD_RETURN_IF_ERROR(
        RemovePod(command.runtime_socket, command.pod, Deadline::After(kPodTimeout))
            .While("pod remove " + command.pod));
    return terminal::PrintAnswer(console_,
                                 line_.output == Output::kJson
                                     ? RemovalToJson(command.pod)
                                     : "removed " + terminal::OneLine(command.pod) + "\n");
  }

  // Prometheus text whatever --output says: that is the format its readers know.
  Status operator()(const MetricsCommand&) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, client_.Metrics(Deadline::After(kShortWait)));
    return terminal::PrintAnswer(console_, text);
  }

  // The question was answered, and the answer is no.
  bool node_is_unfit() const { return node_is_unfit_; }
  // Of a command that failed.
  const api::FailureDetails& failure() const { return failure_; }

 private:
  template <typename T>
  Status Answer(const T& answer) {
    return terminal::PrintAnswer(console_,
                                 line_.output == Output::kJson ? ToJson(answer) : ToText(answer));
  }

  // The report has left the screen when this returns, so that the answer or the error stands alone.
  template <typename Operation>
  auto WithProgress(const std::string& title, const Operation& operation)
      -> decltype(operation(api::ProgressSink())) {
    if (line_.output == Output::kJson) return operation(api::ProgressSink()).While(title);
    terminal::ProgressReport report(console_, title);
    return operation([&report](const api::Progress& progress) { report.Show(progress); })
        .While(title);
  }

  Result<api::OperationResult> Wait(const std::string& operation) {
    return WithProgress("wait " + operation, [&](const api::ProgressSink& sink) {
      return client_.Wait(operation, sink, Deadline::After(kLongWait), &failure_);
    });
  }

  Result<std::string> ReadRequest(const std::string& file) {
    if (file == "-") {
      return ReadAll(console_.in, kRequestBytesMax).While("reading the request");
    }
    const Result<std::string> request = ReadFile(file, kRequestBytesMax);
    if (!request.ok()) return AsUsage(request.status()).While("reading the request");
    return request;
  }

  Status ExportToOut(const ExportCommand& command) {
    if (console_.out_is_terminal) {
      return Status(Code::kInvalidArgument,
                    "a tar file does not belong on a terminal; use -o FILE");
    }
    const int out = console_.out;
    return client_.Export(
        command.archive, command.container,
        [out](std::string_view bytes) { return WriteAll(out, bytes); }, Deadline::After(kLongWait));
  }

  Status ExportToFile(const ExportCommand& command) {
    Result<ExportFile> file = ExportFile::Create(command.file, command.force);
    if (!file.ok()) return AsUsage(file.status());
    CRYOPOD_RETURN_IF_ERROR(client_.Export(
        command.archive, command.container,
        [&file](std::string_view bytes) { return file->Append(bytes); },
        Deadline::After(kLongWait)));
    CRYOPOD_RETURN_IF_ERROR(file->Commit());
    return terminal::PrintAnswer(console_, line_.output == Output::kJson
                                               ? ExportToJson(command.file, file->size_bytes())
                                               : "wrote " + terminal::OneLine(command.file) + ", " +
                                                     terminal::FormatMib(file->size_bytes()) +
                                                     "\n");
  }

  const CommandLine& line_;
  const terminal::Console& console_;
  api::Client client_;
  bool node_is_unfit_ = false;
  api::FailureDetails failure_;
};

std::string Describe(const Status& status) {
  const std::string remedy = Remedy(status);
  // A message that names a command or an option has said it better than a table can.
  const bool says_how = status.message().find("cryopodctl ") != std::string::npos ||
                        status.message().find(" --") != std::string::npos;
  return remedy.empty() || says_how ? status.message() : status.message() + "; " + remedy;
}

// On standard error in either form: standard output may hold half of an export.
void PrintFailure(const terminal::Console& console, Output output, const Status& status,
                  const api::FailureDetails& failure) {
  if (output == Output::kJson) {
    (void)WriteAll(console.err, FailureToJson(status, Describe(status), failure));
    return;
  }
  terminal::PrintError(console, Describe(status));
  if (failure.operation_id.empty()) return;
  terminal::PrintError(console, "operation " + failure.operation_id +
                                    (failure.log_folder.empty()
                                         ? ""
                                         : "; its logs: cryopodctl logs " + failure.operation_id));
}

}  // namespace

ExitCode Run(const std::vector<std::string>& arguments, const terminal::Console& console) {
  const Result<CommandLine> line = ParseCommandLine(arguments);
  if (!line.ok()) {
    terminal::PrintError(console, line.status().message());
    return ExitCode::kUsage;
  }
  Commands commands(*line, console);
  const Status status = line->help.empty() ? std::visit(commands, line->command)
                                           : terminal::PrintAnswer(console, line->help);
  if (status.ok() && commands.node_is_unfit()) return ExitCode::kUnfitNode;
  if (!status.ok()) PrintFailure(console, line->output, status, commands.failure());
  return ExitCodeFor(status.code());
}

}  // namespace cryopod::ctl
