#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "agent/jobs/job_file.h"
#include "agent/os/file.h"
#include "restore/pod_restore.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/restore_fixture.h"

namespace cryopod::restore {

// A PodRestore in this process, and what the real runtime would do.
class PodRestoreFixture : public RestoreFixture {
 protected:
  void SetUp() override {
    RestoreFixture::SetUp();
    if (!IsSkipped()) MakePod(job_);
  }
  void TearDown() override {
    pod_.reset();
    RestoreFixture::TearDown();
  }

  PodRestore& MakePod(const jobs::RestoreJob& job, const jobs::Report& left = jobs::Report()) {
    pod_.reset();
    pod_ = std::make_unique<PodRestore>(job, job_dir());
    pod_->Adopt(left);
    return *pod_;
  }
  PodRestore& pod() { return *pod_; }

  void WorkAll() {
    for (int i = 0; i < 10 && pod().HasWork(); ++i) pod().Work();
    EXPECT_FALSE(pod().HasWork());
  }
  wrapper::Answer Create(const std::string& container, const std::string& id) {
    return pod().OnCreate(CreateRequest(container, id));
  }
  // A `create` whose runtime restores now.
  wrapper::Request Begin(const std::string& container, const std::string& id) {
    const wrapper::Request request = CreateRequest(container, id);
    const wrapper::Answer answer = pod().OnCreate(request);
    EXPECT_EQ(answer.decision, wrapper::Answer::Decision::kRestore) << answer.reason;
    return request;
  }
  bool CanBeRestored(const std::string& container, const std::string& id) {
    return Create(container, id).decision == wrapper::Answer::Decision::kRestore;
  }
  // Everything up to the answer to `create`. Returns the PID of the stopped init process.
  pid_t Restore(const wrapper::Request& request) {
    const wrapper::Answer answer = pod().OnCreate(request);
    EXPECT_EQ(answer.decision, wrapper::Answer::Decision::kRestore) << answer.reason;
    const wrapper::Outcome outcome = RestoreProcess(request);
    EXPECT_EQ(pod().OnOutcome(request.container_id, outcome), wrapper::Answer::Pass());
    return static_cast<pid_t>(outcome.pid);
  }

  // And to `start`.
  pid_t RestoreAndStart(const wrapper::Request& request) {
    const pid_t pid = Restore(request);
    EXPECT_EQ(pod().OnStart(StartRequest(request)), wrapper::Answer::Pass());
    return pid;
  }

  jobs::Phase PhaseOf(const std::string& name) {
    for (const jobs::ContainerReport& container : pod().report().containers) {
      if (container.name == name) return container.phase;
    }
    ADD_FAILURE() << "no container " << name;
    return jobs::Phase::kFailed;
  }
  jobs::Report SavedReport() const {
    Result<jobs::Report> report = jobs::ReadFileOf<jobs::Report>(job_dir(), jobs::kStateFile);
    EXPECT_THAT(report, test::IsOk());
    return report.ok() ? std::move(*report) : jobs::Report();
  }

 private:
  std::unique_ptr<PodRestore> pod_;
};

}  // namespace cryopod::restore
