#include "agent/ctl/commands.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "agent/api/client.h"
#include "agent/ctl/answers.h"
#include "agent/ctl/command_line.h"
#include "agent/ctl/export_file.h"
#include "agent/ctl/install/node_install.h"
#include "agent/ctl/node_check.h"
#include "agent/ctl/pod_requests.h"
#include "agent/os/file.h"
#include "agent/os/text.h"
#include "agent/terminal/document.h"
#include "agent/terminal/progress.h"
#include "agent/terminal/text.h"

namespace cryopod::ctl {
namespace {

using std::chrono::seconds;

// Answers that cost the agent a look into its store.
constexpr seconds kShortWait{60};
// The agent's version is told beside our own, which nobody should have to wait for.
constexpr seconds kVersionWait{10};
// Operations that read or write whole archives, and those whose time the agent chooses.
constexpr seconds kLongWait{2 * 3600};
// So that the agent's own word about a passed deadline arrives before ours.
constexpr seconds kAnswerGrace{30};
// Of a runtime that makes or ends a pod.
constexpr seconds kPodTimeout{300};
constexpr size_t kRequestBytesMax = size_t{4} << 20;

// A local file that is not there is the caller's mistake and no missing pod or archive.
Status AsUsage(const Status& status) {
  return status.code() == Code::kNotFound ? Status(Code::kInvalidArgument, status.message())
                                          : status;
}

// A log holds names of a stranger's making.
std::string LinesOf(std::string_view log) {
  std::vector<std::string> lines;
  for (const std::string_view part : Split(log, '\n')) {
    lines.push_back(Printable(part, log.size() + 1));
  }
  return Join(lines, "\n");
}

// One command against one agent: a method a verb, which prints its answer.
class Commands {
 public:
  Commands(const CommandLine& line, const terminal::Console& console)
      : line_(line), console_(console), client_(line.socket) {}

  // For a verb that is done to several, before each.
  void Choose(const std::string& archive) { line_.archive = archive; }

  Status Checkpoint() {
    api::CheckpointRequest request;
    request.pod = line_.pod;
    request.archive = line_.archive;
    request.stop_source = line_.stop;
    request.without_volumes = line_.without_volumes;
    request.restore_once = line_.restore_once;
    request.timeout = seconds(line_.timeout_seconds);
    request.operation_id = line_.operation;
    const auto run = [&](const api::ProgressSink& sink) {
      return client_.Checkpoint(request, sink, OperationDeadline(), &failure_);
    };
    return Answer(WithProgress("checkpoint " + line_.pod, run));
  }

  Status Restore() {
    api::RestoreRequest request;
    request.archive = line_.archive;
    request.runtime_handler = line_.handler;
    request.differences = line_.differences;
    request.timeout = seconds(line_.timeout_seconds);
    request.operation_id = line_.operation;
    request.request_from_archive = line_.request_file.empty();
    if (!request.request_from_archive) {
      CRYOPOD_ASSIGN_OR_RETURN(request.request_json, ReadRequest());
    }
    const auto run = [&](const api::ProgressSink& sink) {
      return client_.Restore(request, sink, OperationDeadline(), &failure_);
    };
    return Answer(WithProgress("restore " + line_.archive, run));
  }

  Status Wait() { return Answer(WaitForEnd()); }

  Status Cancel() {
    CRYOPOD_RETURN_IF_ERROR(client_.Cancel(line_.operation, Deadline::After(kShortWait))
                                .While("cancel " + line_.operation));
    const Result<api::OperationResult> result = WaitForEnd();
    // One that ended well before it could be ended has an answer: it is what there is to know.
    if (result.status().code() != Code::kCancelled) return Answer(result);
    return Answer<Done>(Done{"cancelled", line_.operation});
  }

  // Text whatever --output says.
  Status Logs() {
    std::string current;
    const auto print = [&](std::string_view name, std::string_view text) {
      const bool next = name != current;
      current = name;
      const std::string head = next ? "==> " + terminal::OneLine(name) + " <==\n" : "";
      return terminal::PrintAnswer(console_, head + LinesOf(text));
    };
    return client_.Logs(line_.operation, print, Deadline::After(kShortWait))
        .While("logs " + line_.operation);
  }

  Status List() {
    const Result<api::Listing> listing =
        client_.List(line_.pod_namespace, Deadline::After(kShortWait), line_.all);
    if (!listing.ok() || line_.form != terminal::Form::kWide) return Answer(listing);
    return terminal::PrintAnswer(console_, ToWideText(*listing));
  }

  Status Inspect() {
    return Answer(client_.Inspect(line_.archive, Deadline::After(kShortWait))
                      .While("inspect " + line_.archive));
  }

  Status Verify() {
    CRYOPOD_ASSIGN_OR_RETURN(
        const api::Verification verification,
        client_.Verify(line_.archive, Deadline::After(kLongWait)).While("verify " + line_.archive));
    return Answer<Verified>(Verified{line_.archive, verification});
  }

  Status Delete() {
    CRYOPOD_RETURN_IF_ERROR(client_.Delete(line_.archive, Deadline::After(kShortWait))
                                .While("delete " + line_.archive));
    return Answer<Done>(Done{"deleted", line_.archive});
  }

  Status Export() {
    return (line_.file == "-" ? ExportToOut() : ExportToFile()).While("export " + line_.archive);
  }

  Status Import() {
    int fd = console_.in;
    UniqueFd file;
    if (line_.file != "-") {
      Result<UniqueFd> opened = OpenAt(AT_FDCWD, line_.file, O_RDONLY);
      if (!opened.ok()) return AsUsage(opened.status()).While("import");
      file = std::move(opened).value();
      fd = file.get();
    }
    return Answer(client_.Import(line_.archive, fd, Deadline::After(kLongWait))
                      .While("import " + line_.file + " as " + line_.archive));
  }

  Status Version() {
    const Result<api::NodeInfo> node = client_.DescribeNode(Deadline::After(kVersionWait));
    return Answer<Versions>(node.ok() ? Versions{CRYOPOD_VERSION, node->agent_version, ""}
                                      : Versions{CRYOPOD_VERSION, "", node.status().message()});
  }

  Status Node() { return Answer(client_.DescribeNode(Deadline::After(kShortWait))); }

  Status CheckThisNode() {
    const Result<std::vector<api::Requirement>> requirements =
        CheckNode(client_, line_.socket, line_.config_file, Deadline::After(kShortWait));
    if (requirements.ok()) {
      node_is_unfit_ = std::ranges::count(*requirements, api::RequirementState::kLacking,
                                          &api::Requirement::state) > 0;
    }
    return Answer(requirements);
  }

  Status InstallThisNode() {
    CRYOPOD_ASSIGN_OR_RETURN(NodePaths paths, ThisInstallation());
    paths.containerd_config = line_.containerd_config;
    ChangeReport report(console_, line_.form);
    return InstallNode(paths, {.restart = !line_.no_restart}, report).While("node install");
  }

  Status UninstallThisNode() {
    CRYOPOD_ASSIGN_OR_RETURN(const NodePaths paths, ThisInstallation());
    ChangeReport report(console_, line_.form);
    return UninstallNode(paths, {.restart = !line_.no_restart, .purge = line_.purge}, report)
        .While("node uninstall");
  }

  Status RunThisPod() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string request, ReadRequest());
    return Answer(
        RunPod(line_.runtime_socket, request, line_.handler_to_run, Deadline::After(kPodTimeout))
            .While("pod run"));
  }

  Status RemoveThisPod() {
    CRYOPOD_RETURN_IF_ERROR(RemovePod(line_.runtime_socket, line_.pod, Deadline::After(kPodTimeout))
                                .While("pod remove " + line_.pod));
    return Answer<Done>(Done{"removed", line_.pod});
  }

  // Prometheus text whatever --output says: that is the format its readers know.
  Status Metrics() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, client_.Metrics(Deadline::After(kShortWait)));
    return terminal::PrintAnswer(console_, text);
  }

  // The question was answered, and the answer is no.
  bool node_is_unfit() const { return node_is_unfit_; }
  // Of a command that failed.
  const api::FailureDetails& failure() const { return failure_; }

 private:
  template <typename T>
  Status Answer(const Result<T>& answer) {
    if (!answer.ok()) return answer.status();
    return terminal::PrintAnswer(
        console_,
        Separator() + (IsDocument(line_.form) ? FormatDocument(line_.form, ToJson(*answer))
                                              : ToText(*answer)));
  }

  // Between the answers for several archives. JSON has a line for each, and so has `delete`.
  std::string Separator() {
    if (!std::exchange(answered_, true)) return "";
    if (line_.form == terminal::Form::kYaml) return "---\n";
    return line_.form == terminal::Form::kJson || line_.verb == "delete" ? "" : "\n";
  }

  Deadline OperationDeadline() const {
    const seconds timeout(line_.timeout_seconds);
    return Deadline::After(timeout > seconds(0) ? timeout + kAnswerGrace : kLongWait);
  }

  // The report has left the screen when this returns, so that the answer or the error stands alone.
  template <typename Operation>
  auto WithProgress(const std::string& title, const Operation& operation)
      -> decltype(operation(api::ProgressSink())) {
    if (IsDocument(line_.form)) return operation(api::ProgressSink()).While(title);
    terminal::ProgressReport report(console_, title);
    return operation([&report](const api::Progress& progress) { report.Show(progress); })
        .While(title);
  }

  Result<api::OperationResult> WaitForEnd() {
    return WithProgress("wait " + line_.operation, [&](const api::ProgressSink& sink) {
      return client_.Wait(line_.operation, sink, Deadline::After(kLongWait), &failure_);
    });
  }

  Result<std::string> ReadRequest() {
    const bool from_in = line_.request_file == "-";
    Result<std::string> request = from_in ? ReadAll(console_.in, kRequestBytesMax)
                                          : ReadFile(line_.request_file, kRequestBytesMax);
    if (!request.ok()) return AsUsage(request.status()).While("reading the request");
    return request;
  }

  Status ExportToOut() {
    if (console_.out_is_terminal) {
      return Status(Code::kInvalidArgument,
                    "a tar file does not belong on a terminal; use --file FILE");
    }
    const int out = console_.out;
    return client_.Export(
        line_.archive, line_.container,
        [out](std::string_view bytes) { return WriteAll(out, bytes); }, Deadline::After(kLongWait));
  }

  Status ExportToFile() {
    Result<ExportFile> file = ExportFile::Create(line_.file, line_.force);
    if (!file.ok()) return AsUsage(file.status());
    CRYOPOD_RETURN_IF_ERROR(client_.Export(
        line_.archive, line_.container,
        [&file](std::string_view bytes) { return file->Append(bytes); },
        Deadline::After(kLongWait)));
    CRYOPOD_RETURN_IF_ERROR(file->Commit());
    return Answer<Exported>(Exported{line_.file, file->size_bytes()});
  }

  CommandLine line_;
  const terminal::Console& console_;
  api::Client client_;
  bool node_is_unfit_ = false;
  bool answered_ = false;
  api::FailureDetails failure_;
};

const std::map<std::string_view, Status (Commands::*)()> kVerbs = {
    {"checkpoint", &Commands::Checkpoint},
    {"restore", &Commands::Restore},
    {"wait", &Commands::Wait},
    {"cancel", &Commands::Cancel},
    {"logs", &Commands::Logs},
    {"list", &Commands::List},
    {"inspect", &Commands::Inspect},
    {"verify", &Commands::Verify},
    {"delete", &Commands::Delete},
    {"export", &Commands::Export},
    {"import", &Commands::Import},
    {"node", &Commands::Node},
    {"node check", &Commands::CheckThisNode},
    {"node install", &Commands::InstallThisNode},
    {"node uninstall", &Commands::UninstallThisNode},
    {"metrics", &Commands::Metrics},
    {"version", &Commands::Version},
    {"pod run", &Commands::RunThisPod},
    {"pod remove", &Commands::RemoveThisPod}};

std::string Describe(const Status& status) {
  const std::string remedy = Remedy(status);
  // A message that names a command or an option has said it better than a table can.
  const bool says_how = status.message().find("cryopodctl ") != std::string::npos ||
                        status.message().find(" --") != std::string::npos;
  return remedy.empty() || says_how ? status.message() : status.message() + "; " + remedy;
}

// On standard error in either form: standard output may hold half of an export.
void PrintFailure(const terminal::Console& console, terminal::Form form, const Status& status,
                  const api::FailureDetails& failure) {
  if (IsDocument(form)) {
    const std::string json = FailureToJson(status, Describe(status), failure);
    (void)WriteAll(console.err, FormatDocument(form, json));
    return;
  }
  terminal::PrintError(console, Describe(status));
  if (failure.operation_id.empty()) return;
  terminal::PrintError(console, "operation " + failure.operation_id +
                                    (failure.log_folder.empty()
                                         ? ""
                                         : "; its logs: cryopodctl logs " + failure.operation_id));
}

ExitCode RunVerb(Commands& commands, const CommandLine& line, const terminal::Console& console) {
  const Status status = (commands.*kVerbs.at(line.verb))();
  if (status.ok() && commands.node_is_unfit()) return ExitCode::kUnfitNode;
  if (!status.ok()) PrintFailure(console, line.form, status, commands.failure());
  return ExitCodeFor(status.code());
}

}  // namespace

ExitCode Run(const std::vector<std::string>& arguments, const terminal::Console& console) {
  const Result<CommandLine> line = ParseCommandLine(arguments);
  if (!line.ok()) {
    terminal::PrintError(console, line.status().message());
    return ExitCode::kUsage;
  }
  if (!line->help.empty()) {
    const Status printed = terminal::PrintAnswer(console, line->help);
    if (!printed.ok()) PrintFailure(console, line->form, printed, {});
    return ExitCodeFor(printed.code());
  }
  Commands commands(*line, console);
  if (line->archives.empty()) return RunVerb(commands, *line, console);
  // Each is tried, whatever became of the others.
  ExitCode first = ExitCode::kOk;
  for (const std::string& archive : line->archives) {
    commands.Choose(archive);
    const ExitCode one = RunVerb(commands, *line, console);
    if (first == ExitCode::kOk) first = one;
  }
  return first;
}

}  // namespace cryopod::ctl
