#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "agent/daemon/operations/agent_parts.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/job_file.h"
#include "tests/fakes/fake_cri_server.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/daemon/sample_archive.h"

namespace cryopod::daemon::test {

// A node with a CRI runtime on a socket, directories of an agent and its register, and inner
// programs that do what a test tells them.
class AgentFixture : public ::testing::Test {
 protected:
  AgentFixture() {
    config_.run_dir = temp_.path() / "run";
    config_.state_dir = temp_.path() / "state";
    config_.libexec_dir = temp_.path() / "libexec";
    config_.containerd_socket = temp_.path() / "cri.sock";
    config_.runtime_root = temp_.path() / "runc";
    for (const std::string& directory :
         {config_.jobs_dir(), config_.store_root(), config_.libexec_dir}) {
      std::filesystem::create_directories(directory);
    }
    std::filesystem::create_symlink(CRYOPOD_UNPACK_PROGRAM, config_.unpack_program());
    std::filesystem::create_symlink(CRYOPOD_FAKE_RESTORE, config_.restore_program());
    SetCheckpointProgram("exit 1");
  }
  ~AgentFixture() override {
    // Whatever a test left running: its cgroups are named by the operations.
    for (const std::string& id : Jobs()) (void)jobs::RemoveJob(config_.jobs_dir(), id);
  }

  static Deadline Soon() { return cryopod::test::Soon(); }
  static bool Eventually(const std::function<bool()>& holds) {
    const Deadline deadline = Soon();
    while (!holds()) {
      if (deadline.expired()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  // A shell script in place of cryopod-checkpoint; $job is its job's directory. It has told who it
  // is before `body` begins.
  void SetCheckpointProgram(const std::string& body) const {
    const std::string path = config_.checkpoint_program();
    const std::string partial = path + ".new";
    std::ofstream(partial) << "#!/bin/sh\njob=$2\n"
                              "identity=$(cut -d' ' -f22 /proc/$$/stat)\n"
                              "printf '{\"format\":1,\"readable_from\":1,\"pid\":%d,"
                              "\"start_ticks\":%s}' $$ $identity >$job/process.json.new\n"
                              "mv $job/process.json.new $job/process.json\n"
                           << body << "\n";
    ::chmod(partial.c_str(), 0755);
    std::filesystem::rename(partial, path);
  }
  // What such a script does to report an event or its result, and to wait for Go().
  std::string Say(const jobs::JobEvent& event) const {
    const cryopod::test::TempDirectory scratch;
    jobs::EventLog::Open(scratch.path())->Append(event);
    const std::string line = cryopod::test::ReadText(scratch.path() / jobs::kEventsFile);
    return "printf '%s' '" + line + "' >>$job/events\n";
  }
  std::string Say(const std::string& stage) const { return Say({stage, "", 0, 0}); }
  std::string SayResult(const jobs::CheckpointResult& result) const {
    return "cp " + WriteResult(result) + " $job/result.json.new\n" +
           "mv $job/result.json.new $job/result.json\n";
  }
  std::string WriteResult(const jobs::CheckpointResult& result) const {
    const std::string path = temp_.path() / "result.json";
    cryopod::test::WriteText(path, jobs::ToText(result));
    return path;
  }
  std::string WaitForGo() const {
    return "touch $job/waiting; while ! test -e " + (temp_.path() / "go").string() +
           "; do sleep 0.02; done\n";
  }
  void Go() const { cryopod::test::WriteText(temp_.path() / "go", "x"); }

  static jobs::CheckpointResult GoodResult() {
    jobs::CheckpointResult result;
    result.archive = "a";
    result.digest = "sha256:" + std::string(64, 'd');
    result.size_bytes = 1234;
    result.captured_bytes = 5678;
    result.freeze_us = 910;
    result.phases = {{"freeze", 10}, {"dump", 900}};
    return result;
  }
  // A pod of two running containers. Returns its sandbox ID.
  std::string AddPod(const std::string& uid = "u-1", const std::string& name = "web") {
    const std::string id = server_.AddPod(
        R"({"metadata":{"name":")" + name + R"(","namespace":"shop","uid":")" + uid + R"("}})",
        "cryopod");
    server_.AddContainer(id, SampleContainerConfig("app"), 4711);
    server_.AddContainer(id, SampleContainerConfig("sidecar"), 4712);
    return id;
  }

  std::vector<std::string> Jobs() const {
    std::vector<std::string> ids;
    for (const auto& entry : std::filesystem::directory_iterator(config_.jobs_dir())) {
      ids.push_back(entry.path().filename());
    }
    return ids;
  }
  // An operation's ID that a caller gives. Its cgroup is named by it, and other tests run beside.
  std::string OwnId() const { return "mine-" + temp_.path().filename().string(); }
  std::string JobDir(const std::string& id) const { return agent_.job_dir(id); }
  // -1: nobody has told yet who works on it.
  pid_t JobPid(const std::string& id) const {
    const auto identity = jobs::ReadFileOf<jobs::ProcessIdentity>(JobDir(id), jobs::kProcessFile);
    return identity.ok() ? identity->pid : -1;
  }
  // From now on, what is remembered ("c-1.json") and which jobs are removed ("c-1"), in that order.
  void WatchEnds() {
    std::filesystem::create_directories(config_.state_dir + "/operations");
    ends_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    ::inotify_add_watch(ends_.get(), (config_.state_dir + "/operations").c_str(), IN_MOVED_TO);
    ::inotify_add_watch(ends_.get(), config_.jobs_dir().c_str(), IN_DELETE);
  }
  std::vector<std::string> Ends() const {
    alignas(inotify_event) char buffer[4096];
    std::vector<std::string> names;
    const ssize_t size = ::read(ends_.get(), buffer, sizeof buffer);
    for (ssize_t at = 0; at < size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(buffer + at);
      names.emplace_back(event->name);
      at += static_cast<ssize_t>(sizeof *event + event->len);
    }
    return names;
  }
  // Waits for its end.
  static Outcome OutcomeOf(const Operation& operation) {
    Operation::News news;
    const Deadline deadline = Soon();
    while (!news.finished && !deadline.expired()) {
      news = operation.WaitForNews(news.seen, deadline);
    }
    EXPECT_TRUE(news.finished);
    return news.finished ? operation.outcome() : Outcome();
  }
  // "create app"
  static std::vector<std::string> StagesOf(const Operation& operation) {
    std::vector<std::string> stages;
    const Deadline now = Deadline::After(std::chrono::seconds(0));
    for (const jobs::JobEvent& event : operation.WaitForNews(0, now).events) {
      stages.push_back(event.stage + (event.container.empty() ? "" : " " + event.container));
    }
    return stages;
  }

  cryopod::test::TempDirectory temp_;
  settings::AgentSettings config_;
  cryopod::test::FakeCriServer server_{temp_.path() / "cri.sock"};
  cri::RuntimeClient runtime_{temp_.path() / "cri.sock"};
  metrics::AgentMetrics metrics_;
  OperationRegister operations_{temp_.path() / "state"};
  const AgentParts agent_{config_, runtime_, operations_, metrics_};
  UniqueFd ends_;
};

}  // namespace cryopod::daemon::test
