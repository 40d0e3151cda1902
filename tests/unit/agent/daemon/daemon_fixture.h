#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "agent/jobs/job_directory.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"
#include "tests/fakes/fake_cri_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/daemon/sample_archive.h"

namespace cryopod::daemon::test {

// A node with a CRI runtime on a socket, directories of an agent, and inner programs that do what a
// test tells them.
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
    for (const auto& entry : std::filesystem::directory_iterator(config_.jobs_dir())) {
      (void)jobs::RemoveJob(config_.jobs_dir(), entry.path().filename());
    }
  }

  static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
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
                              "printf '{\"pid\":%d,\"start_ticks\":%s}' $$ $identity "
                              ">$job/process.json.new\n"
                              "mv $job/process.json.new $job/process.json\n"
                           << body << "\n";
    ::chmod(partial.c_str(), 0755);
    std::filesystem::rename(partial, path);
  }
  // `cp` of it is how a fake cryopod-checkpoint reports.
  std::string WriteResult(const jobs::JobResult& result) const {
    const std::string path = temp_.path() / "result.json";
    std::ofstream(path) << checkpoint::ToJson(result);
    return path;
  }
  static jobs::JobResult GoodResult() {
    jobs::JobResult result;
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

  cryopod::test::TempDirectory temp_;
  settings::AgentSettings config_;
  cryopod::test::FakeCriServer server_{temp_.path() / "cri.sock"};
  cri::RuntimeClient runtime_{temp_.path() / "cri.sock"};
};

}  // namespace cryopod::daemon::test
