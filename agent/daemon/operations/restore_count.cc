#include "agent/daemon/operations/restore_count.h"

#include <sys/stat.h>

#include <utility>
#include <vector>

#include "agent/daemon/operations/describe_restore.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/restore_job.h"

namespace cryopod::daemon {
namespace {

using jobs::ContainerReport;
using jobs::Report;

int64_t ModifiedNs(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return 0;
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

const ContainerReport* FailedContainer(const Report& report) {
  for (const ContainerReport& container : report.containers) {
    if (container.phase == jobs::Phase::kFailed) return &container;
  }
  return nullptr;
}

Status FailureOf(const Report& report) {
  if (!report.error.ok()) return report.error;
  const ContainerReport* const container = FailedContainer(report);
  if (container == nullptr && report.stage == jobs::Stage::kAbandoned) {
    return Status(Code::kCancelled, "nobody has asked for the rest of the pod");
  }
  if (container == nullptr) return Status(Code::kInternal, "it has ended", Reason::kProcessDied);
  return Status(Code::kUnknown, container->reason, ReasonOfReport(report));
}

}  // namespace

void RestoreCount::Count(const Status& outcome) {
  const auto now = Deadline::Clock::now();
  if (!began_) metrics_.BeginOperation(metrics::Operation::kRestore);
  metrics_.EndOperation(metrics::Operation::kRestore, outcome, now - began_.value_or(now));
  began_.reset();
}

void RestoreCount::Begin() {
  if (began_) return;
  began_ = Deadline::Clock::now();
  metrics_.BeginOperation(metrics::Operation::kRestore);
}

// A container that is tried again has another ID.
void RestoreCount::CountFailure(const Report& report) {
  const ContainerReport* const container = FailedContainer(report);
  std::string failure;
  if (report.stage == jobs::Stage::kFailed) {
    failure = std::to_string(seen_ns_);
  } else if (container != nullptr) {
    failure = container->name + " " + container->id;
  }
  if (failure.empty() || failure == last_failure_) return;
  last_failure_ = failure;
  Count(FailureOf(report));
}

void RestoreCount::Look() {
  const int64_t modified_ns = ModifiedNs(job_dir_ + "/" + restore::kStateFile);
  if (modified_ns == 0 || modified_ns == seen_ns_) return;
  const Result<Report> report = jobs::ReadReport(job_dir_);
  if (!report.ok()) return;
  seen_ns_ = modified_ns;
  CountFailure(*report);
}

void RestoreCount::End() {
  Look();
  const Result<Report> report = jobs::ReadReport(job_dir_);
  if (report.ok() && report->stage == jobs::Stage::kRestored) return Count(Status());
  if (began_) Count(FailureOf(report.ok() ? *report : Report()));
}

Reason ReasonOfReport(const Report& report) {
  if (!report.error.ok()) return report.error.reason();
  const ContainerReport* const container = FailedContainer(report);
  return container == nullptr ? Reason::kNone : container->reason_code;
}

Reason ReasonOfRestore(const std::string& jobs_dir, const std::string& restore_operation) {
  const Result<std::vector<std::string>> jobs = jobs::ListJobs(jobs_dir, "r-");
  if (!jobs.ok()) return Reason::kNone;
  for (const std::string& id : *jobs) {
    const std::string job_dir = jobs_dir + "/" + id;
    const Result<wrapper::Request> request = RequestOfRestoreJob(job_dir);
    if (!request.ok() || request->restore_operation != restore_operation) continue;
    const Result<Report> report = jobs::ReadReport(job_dir);
    return report.ok() ? ReasonOfReport(*report) : Reason::kNone;
  }
  return Reason::kNone;
}

}  // namespace cryopod::daemon
