// cri-tool: what the end-to-end tests ask of a container runtime, over cryopod's own CRI client.
// Answers are JSON on stdout; an error is one line on stderr and exit code 1.

#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "agent/os/file.h"
#include "cri/runtime_client.h"

namespace {

using cryopod::Deadline;
using cryopod::Result;
using cryopod::Status;
using cryopod::cri::Container;
using cryopod::cri::ContainerState;
using cryopod::cri::PodSandbox;
using cryopod::cri::RuntimeClient;
using nlohmann::json;

constexpr size_t kConfigFileBytesMax = size_t{4} << 20;

struct Options {
  std::string socket = "/run/containerd/containerd.sock";
  int timeout_seconds = 120;
  int limit_seconds = 3600;
  std::string handler;
  bool rollback = false;
  std::string id;
  std::string pod_file;
  std::vector<std::string> container_files;
  int grace_seconds = 0;
  std::string location;
  std::vector<std::string> command;
};

void Print(const json& answer, int indent = -1) {
  // A runtime may hand on bytes of a container that are no UTF-8.
  std::cout << answer.dump(indent, ' ', false, json::error_handler_t::replace) << "\n";
}

// null where the runtime gave nothing.
json ParseAnswer(const std::string& text) {
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return parsed.is_discarded() ? json() : parsed;
}

class Tool {
 public:
  explicit Tool(const Options& options)
      : options_(options),
        client_(options.socket),
        deadline_(Deadline::After(std::chrono::seconds(options.timeout_seconds))) {}

  Status Run() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string sandbox, RunSandbox());
    json containers = json::object();
    Status status = StartContainers(sandbox, &containers);
    if (!status.ok()) {
      if (options_.rollback) RollBack(sandbox);
      return status;
    }
    Print({{"sandbox", sandbox}, {"containers", containers}});
    return Status();
  }

  Status RunSandboxOnly() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string sandbox, RunSandbox());
    std::cout << sandbox << "\n";
    return Status();
  }

  Status Create() {
    CRYOPOD_ASSIGN_OR_RETURN(pod_config_,
                             cryopod::ReadFile(options_.pod_file, kConfigFileBytesMax));
    CRYOPOD_ASSIGN_OR_RETURN(const std::string id,
                             CreateFrom(options_.container_files.front(), options_.id));
    std::cout << id << "\n";
    return Status();
  }

  Status Start() { return client_.StartContainer(options_.id, deadline_); }
  Status Stop() { return client_.StopContainer(options_.id, options_.grace_seconds, deadline_); }
  Status Checkpoint() {
    return client_.CheckpointContainer(options_.id, options_.location, deadline_);
  }
  Status StopSandbox() { return client_.StopPodSandbox(options_.id, deadline_); }
  Status RemoveSandbox() { return client_.RemovePodSandbox(options_.id, deadline_); }

  Status Exec() {
    CRYOPOD_ASSIGN_OR_RETURN(const cryopod::cri::ExecResult result,
                             client_.ExecSync(options_.id, options_.command, deadline_,
                                              std::chrono::seconds(options_.limit_seconds)));
    CRYOPOD_RETURN_IF_ERROR(cryopod::WriteAll(STDOUT_FILENO, result.output));
    CRYOPOD_RETURN_IF_ERROR(cryopod::WriteAll(STDERR_FILENO, result.error));
    exit_code_ = result.exit_code;
    return Status();
  }

  // As a kubelet's prober: one after the other at the ticks of a clock, with far more patience for
  // the call than for what is run. A line of JSON for each, until standard input ends.
  Status Probe() {
    constexpr std::chrono::seconds kPeriod{1};
    constexpr std::chrono::seconds kPatience{120};
    Deadline tick = Deadline::After(kPeriod);
    while (!cryopod::WaitReady(STDIN_FILENO, POLLIN, tick, "waiting for the next tick").ok()) {
      const auto began = Deadline::Clock::now();
      const auto result =
          client_.ExecSync(options_.id, options_.command, Deadline::After(kPatience),
                           std::chrono::seconds(options_.limit_seconds));
      const std::chrono::duration<double> took = Deadline::Clock::now() - began;
      Print({{"exit_code", result.ok() ? json(result->exit_code) : json()},
             {"error", result.status().message()},
             {"seconds", took.count()}});
      std::cout.flush();
      while (tick.expired()) tick = Deadline::At(tick.instant() + kPeriod);
    }
    return Status();
  }

  Status List() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<PodSandbox> listed,
                             client_.ListPodSandboxes(deadline_));
    json sandboxes = json::array();
    for (const PodSandbox& entry : listed) {
      Result<PodSandbox> sandbox = client_.DescribePodSandbox(entry.id, deadline_);
      // Removed between the two calls.
      if (sandbox.status().code() == cryopod::Code::kNotFound) continue;
      if (!sandbox.ok()) return sandbox.status();
      sandboxes.push_back(ToJson(*sandbox));
    }
    Print({{"sandboxes", sandboxes}}, 2);
    return Status();
  }

  Status Describe() {
    CRYOPOD_ASSIGN_OR_RETURN(const Container container,
                             client_.ContainerStatus(options_.id, deadline_));
    json answer = ToJson(container);
    answer["config"] = ParseAnswer(container.config_json);
    answer["status"] = ParseAnswer(container.status_json);
    Print(answer, 2);
    return Status();
  }

  // Of the command that was run in a container.
  int exit_code() const { return exit_code_; }

 private:
  static const char* StateName(ContainerState state) {
    switch (state) {
      case ContainerState::kCreated:
        return "created";
      case ContainerState::kRunning:
        return "running";
      case ContainerState::kExited:
        return "exited";
      case ContainerState::kUnknown:
        break;
    }
    return "unknown";
  }

  static json ToJson(const Container& container) {
    return {{"id", container.id},
            {"name", container.name},
            {"attempt", container.attempt},
            {"state", StateName(container.state)},
            {"exit_code", container.exit_code},
            {"pid", container.pid},
            {"image", container.image},
            {"log_path", container.log_path}};
  }

  static json ToJson(const PodSandbox& sandbox) {
    json containers = json::array();
    for (const Container& container : sandbox.containers) containers.push_back(ToJson(container));
    return {{"id", sandbox.id},
            {"name", sandbox.name},
            {"namespace", sandbox.namespace_},
            {"uid", sandbox.uid},
            {"attempt", sandbox.attempt},
            {"state", sandbox.ready ? "ready" : "notready"},
            {"runtime_handler", sandbox.runtime_handler},
            {"ip", sandbox.ip},
            {"containers", containers}};
  }

  Result<std::string> RunSandbox() {
    CRYOPOD_ASSIGN_OR_RETURN(pod_config_,
                             cryopod::ReadFile(options_.pod_file, kConfigFileBytesMax));
    return client_.RunPodSandbox(pod_config_, options_.handler, deadline_);
  }

  Result<std::string> CreateFrom(const std::string& file, const std::string& sandbox) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string config,
                             cryopod::ReadFile(file, kConfigFileBytesMax));
    return client_.CreateContainer(sandbox, config, pod_config_, deadline_).While(file);
  }

  Status StartContainers(const std::string& sandbox, json* containers) {
    for (const std::string& file : options_.container_files) {
      CRYOPOD_ASSIGN_OR_RETURN(const std::string id, CreateFrom(file, sandbox));
      CRYOPOD_RETURN_IF_ERROR(client_.StartContainer(id, deadline_).While(file));
      CRYOPOD_ASSIGN_OR_RETURN(const Container container, client_.ContainerStatus(id, deadline_));
      (*containers)[container.name] = id;
    }
    return Status();
  }

  void RollBack(const std::string& sandbox) {
    const Deadline deadline = Deadline::After(std::chrono::seconds(30));
    Status status = client_.StopPodSandbox(sandbox, deadline);
    if (status.ok()) status = client_.RemovePodSandbox(sandbox, deadline);
    if (!status.ok()) std::cerr << "cri-tool: rollback: " << status.message() << "\n";
  }

  const Options options_;
  RuntimeClient client_;
  const Deadline deadline_;
  std::string pod_config_;
  int exit_code_ = 0;
};

class CommandLine {
 public:
  CommandLine() {
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.add_option("--socket", options_.socket, "CRI socket of the runtime");
    app_.add_option("--timeout", options_.timeout_seconds, "seconds for the whole command");
    app_.add_option("--limit", options_.limit_seconds,
                    "seconds for what exec runs, once it runs: a probe's timeoutSeconds");
    AddCreators();
    AddById("start", "start a container", "CID", &Tool::Start);
    AddById("stop", "stop a container", "CID", &Tool::Stop)
        ->add_option("SECONDS", options_.grace_seconds, "between SIGTERM and SIGKILL");
    AddById("checkpoint", "let the runtime checkpoint a container", "CID", &Tool::Checkpoint)
        ->add_option("FILE", options_.location, "the tar file to be written")
        ->required();
    AddById("stopp", "stop a sandbox", "SID", &Tool::StopSandbox);
    AddById("rmp", "remove a sandbox", "SID", &Tool::RemoveSandbox);
    AddById("status", "a container as JSON", "CID", &Tool::Describe);
    Add("ps", "all sandboxes and containers as JSON", &Tool::List);
    // The command's own words are never options of this program.
    exec_ = AddById("exec", "run a command in a container", "CID", &Tool::Exec);
    probe_ = AddById("probe", "run a command in a container every second", "CID", &Tool::Probe);
    for (CLI::App* runs : {exec_, probe_}) runs->fallthrough(false)->prefix_command();
  }

  int Main(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? 0 : 2;
    }
    options_.command = (probe_->parsed() ? probe_ : exec_)->remaining();
    Tool tool(options_);
    const Status status = (tool.*action_)();
    if (status.ok()) return tool.exit_code();
    std::cerr << "cri-tool: " << status.message() << "\n";
    return 1;
  }

 private:
  using Action = Status (Tool::*)();

  CLI::App* Add(const std::string& name, const std::string& description, Action action) {
    CLI::App* command = app_.add_subcommand(name, description);
    command->callback([this, action] { action_ = action; });
    return command;
  }

  CLI::App* AddById(const std::string& name, const std::string& description,
                    const std::string& id_name, Action action) {
    CLI::App* command = Add(name, description, action);
    command->add_option(id_name, options_.id)->required();
    return command;
  }

  void AddCreators() {
    CLI::App* run = Add("run", "run a sandbox and its containers", &Tool::Run);
    run->add_option("POD.json", options_.pod_file)->required();
    run->add_option("CTR.json", options_.container_files)->required();
    run->add_option("--handler", options_.handler, "runtime handler");
    run->add_flag("--rollback", options_.rollback, "on failure remove what was made");
    CLI::App* run_sandbox = Add("runp", "run a sandbox", &Tool::RunSandboxOnly);
    run_sandbox->add_option("POD.json", options_.pod_file)->required();
    run_sandbox->add_option("--handler", options_.handler, "runtime handler");
    CLI::App* create =
        AddById("create", "create a container in a sandbox", "SANDBOX", &Tool::Create);
    create->add_option("POD.json", options_.pod_file)->required();
    create->add_option("CTR.json", options_.container_files)->required()->expected(1);
  }

  CLI::App app_{"Asks a container runtime over its CRI socket.", "cri-tool"};
  Options options_;
  Action action_ = nullptr;
  CLI::App* exec_ = nullptr;
  CLI::App* probe_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) { return CommandLine().Main(argc, argv); }
