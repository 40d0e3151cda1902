#include "agent/daemon/operations/restore_progress.h"

#include <vector>

#include "agent/jobs/job_directory.h"
#include "agent/jobs/job_file.h"
#include "agent/jobs/restore_job.h"

namespace cryopod::daemon {
namespace {

using jobs::ContainerReport;
using jobs::Report;

const ContainerReport* FirstIn(const Report& report, jobs::Phase phase) {
  for (const ContainerReport& container : report.containers) {
    if (container.phase == phase) return &container;
  }
  return nullptr;
}

Reason ReasonOfReport(const Report& report) {
  if (!report.error.ok()) return report.error.reason();
  const ContainerReport* const container = FirstIn(report, jobs::Phase::kFailed);
  return container == nullptr ? Reason::kNone : container->reason_code;
}

Status FailureOf(const Report& report) {
  if (!report.error.ok()) return report.error;
  const ContainerReport* const container = FirstIn(report, jobs::Phase::kFailed);
  if (container == nullptr && report.stage == jobs::Stage::kAbandoned) {
    return Status(Code::kCancelled, "nobody has asked for the rest of the pod");
  }
  if (container == nullptr) return Status(Code::kInternal, "it has ended", Reason::kProcessDied);
  return Status(Code::kUnknown, container->reason, ReasonOfReport(report));
}

}  // namespace

void RestoreProgress::Count(const Status& outcome) {
  const auto now = Deadline::Clock::now();
  if (!began_) metrics_.BeginOperation(metrics::Operation::kRestore);
  metrics_.EndOperation(metrics::Operation::kRestore, outcome, now - began_.value_or(now));
  began_.reset();
}

void RestoreProgress::Begin() {
  if (began_) return;
  began_ = Deadline::Clock::now();
  metrics_.BeginOperation(metrics::Operation::kRestore);
}

// A container that is tried again has another ID.
void RestoreProgress::CountFailure(const Report& report) {
  const ContainerReport* const container = FirstIn(report, jobs::Phase::kFailed);
  std::string failure;
  if (report.stage == jobs::Stage::kFailed) {
    failure = std::to_string(seen_.time_since_epoch().count());
  } else if (container != nullptr) {
    failure = container->name + " " + container->id;
  }
  if (failure.empty() || failure == last_failure_) return;
  last_failure_ = failure;
  Count(FailureOf(report));
}

void RestoreProgress::ReportStage(const Report& report) {
  const ContainerReport* const restoring = FirstIn(report, jobs::Phase::kRestoring);
  operation_->Report({std::string(restoring != nullptr ? jobs::PhaseName(restoring->phase)
                                                       : jobs::StageName(report.stage)),
                      restoring != nullptr ? restoring->name : "", 0, 0});
}

void RestoreProgress::Look() {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(job_dir_ + "/" + jobs::kStateFile, error);
  if (error || written == seen_) return;
  const Result<Report> report = jobs::ReadFileOf<Report>(job_dir_, jobs::kStateFile);
  if (!report.ok()) return;
  seen_ = written;
  ReportStage(*report);
  CountFailure(*report);
}

Status RestoreProgress::End() {
  Look();
  const Result<Report> report = jobs::ReadFileOf<Report>(job_dir_, jobs::kStateFile);
  const bool restored = report.ok() && report->stage == jobs::Stage::kRestored;
  Status outcome = restored ? Status() : FailureOf(report.ok() ? *report : Report());
  if (!outcome.ok() && operation_->cancelled()) {
    outcome = Status(Code::kCancelled, "the operation was cancelled");
  }
  if (outcome.ok() || began_) Count(outcome);
  return outcome;
}

Reason ReasonOfRestore(const std::string& jobs_dir, const std::string& restore_operation) {
  const Result<std::vector<jobs::ListedJob>> listed = jobs::ListJobs(jobs_dir);
  if (!listed.ok()) return Reason::kNone;
  for (const jobs::ListedJob& entry : *listed) {
    if (!entry.readable.ok() || entry.kind != jobs::JobKind::kRestore) continue;
    const std::string job_dir = jobs_dir + "/" + entry.id;
    const auto job = jobs::ReadFileOf<jobs::RestoreJob>(job_dir, jobs::kRequestFile);
    if (!job.ok() || job->restore_operation != restore_operation) continue;
    const Result<Report> report = jobs::ReadFileOf<Report>(job_dir, jobs::kStateFile);
    return report.ok() ? ReasonOfReport(*report) : Reason::kNone;
  }
  return Reason::kNone;
}

}  // namespace cryopod::daemon
