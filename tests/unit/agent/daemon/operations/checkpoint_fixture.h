#pragma once

#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/daemon/operations/checkpoint_operations.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon::test {

// An agent that starts checkpoints of one pod, and is followed by others.
class CheckpointFixture : public AgentFixture {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
    sandbox_ = AddPod();
    BeginAgent();
  }
  void BeginAgent() {
    checkpoints_.reset();
    node_metrics_ = std::make_unique<metrics::AgentMetrics>();
    register_ = std::make_unique<OperationRegister>(config_.state_dir);
    checkpoints_ = std::make_unique<CheckpointOperations>(
        AgentParts{config_, runtime_, *register_, *node_metrics_});
  }
  // As a SIGTERM does it; the next agent knows nothing but what is on disk.
  void RestartAgent() {
    BeginAgent();
    for (const std::string& id : Jobs()) checkpoints_->AdoptOrRepair(id);
  }
  Result<std::shared_ptr<Operation>> Start(const std::string& pod = "shop/web",
                                           const std::string& id = "") {
    return checkpoints_->Start({.pod = pod, .archive = "a", .operation_id = id});
  }
  // Of one that runs to its end.
  jobs::CheckpointResult Checkpoint(const std::string& pod = "shop/web") {
    const Result<std::shared_ptr<Operation>> operation = Start(pod);
    EXPECT_THAT(operation, cryopod::test::IsOk());
    return operation.ok() ? ResultOf(**operation) : jobs::CheckpointResult();
  }
  // Of a process that waits for Go().
  std::shared_ptr<Operation> StartAndWait() {
    Result<std::shared_ptr<Operation>> operation = Start();
    EXPECT_THAT(operation, cryopod::test::IsOk());
    EXPECT_TRUE(Eventually(
        [&] { return std::filesystem::exists(JobDir((*operation)->id()) + "/waiting"); }));
    return *operation;
  }
  // The one operation that the next agent follows.
  std::shared_ptr<Operation> Adopted() const {
    EXPECT_THAT(register_->ListRunning(), ::testing::SizeIs(1));
    return register_->ListRunning().at(0);
  }
  // What an agent leaves whose process is killed while none runs.
  void EndAgentAndKill(const Operation& operation) {
    const pid_t pid = JobPid(operation.id());
    const UniqueFd pidfd = OpenPidfd(pid).value();
    checkpoints_.reset();
    ::kill(pid, SIGKILL);
    ASSERT_TRUE(PidfdEnded(pidfd.get(), Soon()));
  }
  static jobs::CheckpointResult ResultOf(const Operation& operation) {
    return OutcomeOf(operation).checkpoint;
  }
  // A process that unwinds when it is asked to end.
  std::string UnwindWhenAsked() const {
    jobs::CheckpointResult cancelled;
    cancelled.status = Status(Code::kCancelled, "asked to end in stage dump");
    return "end() {\n" + SayResult(cancelled) + "exit 1\n}\ntrap end TERM\n" + WaitForGo();
  }
  static jobs::CheckpointResult StoppedResult() {
    jobs::CheckpointResult result = GoodResult();
    result.source_killed = true;
    return result;
  }
  // In the language of a checkpoint program: one CRIU, and nothing that is frozen.
  std::string WriteJournalOf(const std::string& criu) const {
    const std::string journal = temp_.path() / "journal";
    return "printf "
           "'{\"format\":1,\"readable_from\":1,\"cgroups\":[],\"criu\":[{\"pid\":%d,"
           "\"start_ticks\":%s}],\"inits\":[],\"disk_staging\":\"\"}' " +
           criu + " $(cut -d' ' -f22 /proc/" + criu + "/stat) >" + journal + "\ncp " + journal +
           " $job/journal.json\n";
  }
  bool IsSettled() const {
    return Eventually([&] { return Jobs().empty() && register_->ListRunning().empty(); });
  }
  // As a neighbouring version would have written it.
  void Rewrite(const std::string& id, const char* name,
               const std::function<void(nlohmann::json& document)>& change) const {
    const std::filesystem::path path = JobDir(id) + "/" + name;
    nlohmann::json document = nlohmann::json::parse(cryopod::test::ReadText(path));
    change(document);
    cryopod::test::WriteText(path, document.dump());
  }

  std::string sandbox_;
  std::unique_ptr<OperationRegister> register_;
  std::unique_ptr<metrics::AgentMetrics> node_metrics_;
  std::unique_ptr<CheckpointOperations> checkpoints_;
};

}  // namespace cryopod::daemon::test
