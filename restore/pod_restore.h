#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "restore/mounts/live_mounts.h"
#include "restore/runtime/protocol/messages.h"
#include "restore/runtime/protocol/once_record.h"
#include "restore/security_context.h"
#include "restore/stage_archive.h"

namespace cryopod::restore {

// The restore of one pod: answers the runtime's calls for its containers and keeps the report of
// the job directory up to date.
//
// A container goes waiting → staged → restoring → restored → held → started. What fails before
// START can be tried again with a new container; what was let run is consumed, and never restored
// again.
//
// Threads  one. Calls may take as long as verifying and unpacking a container takes.
class PodRestore {
 public:
  PodRestore(jobs::RestoreJob job, std::string job_dir);
  ~PodRestore();

  // Comes first. Goes on where an earlier process of this job has ended, if its report is not
  // empty: releases what it held, ends what it was restoring, keeps what it had restored and is
  // still there.
  void Adopt(const jobs::Report& left);

  // Work that can be done before anybody asks: checking, and staging one container a call.
  bool HasWork() const;
  void Work();

  wrapper::Answer OnSandbox(const wrapper::Request& request);
  // RESTORE opens an attempt, which OnOutcome or OnWrapperGone closes.
  wrapper::Answer OnCreate(const wrapper::Request& request);
  wrapper::Answer OnOutcome(const std::string& container_id, const wrapper::Outcome& outcome);
  void OnWrapperGone(const std::string& container_id);
  wrapper::Answer OnStart(const wrapper::Request& request);
  wrapper::Answer OnDeleted(const wrapper::Request& request);

  // When the started containers must be let run, whoever is missing.
  std::optional<Deadline> hold_end() const { return hold_end_; }
  void ReleaseHeld();

  // Every container of the checkpoint runs.
  bool finished() const;
  // Lets run what is consumed, ends what is not, removes the staging area, writes the last report.
  void End();

  const jobs::Report& report() const { return report_; }

 private:
  // What is known of the attempt to restore a container; of the last one, when none is open.
  struct Attempt {
    int number = 0;
    std::string work_dir;
    SecurityContext context;  // both of the live request
    LiveMounts mounts;
    std::string remark;  // in what that differs from the archive
  };

  Status Prepare();
  Status Check();
  Status CheckOnce() const;
  wrapper::OnceRecord OnceRecordOf() const;
  Status EnsureStaged(jobs::ContainerReport& container);
  Result<jobs::ContainerReport*> FindContainer(const std::string& name);
  // The container whose attempt is open under this id, or nullptr.
  jobs::ContainerReport* FindAttempt(const std::string& container_id);
  // Its runtime restores, or has restored, and nothing of it has run.
  static bool IsUnderWay(const jobs::ContainerReport& container);
  Status CheckRequest(const wrapper::Request& request) const;
  Status AdaptImages(const wrapper::Request& request, const Attempt& attempt);
  Result<wrapper::Plan> BeginAttempt(const wrapper::Request& request,
                                     jobs::ContainerReport& container);
  Status Complete(jobs::ContainerReport& container, const Attempt& attempt);
  Status Judge(jobs::ContainerReport& container, const wrapper::Outcome& outcome);
  Status Consume(const wrapper::Request& request, jobs::ContainerReport& container);
  Status WriteRecord(const std::string& container, const std::string& remark = "") const;
  bool IsConsumed(const jobs::ContainerReport& container) const;
  bool IsAllConsumed() const;
  wrapper::Answer OnCreateFinished(const wrapper::Request& request);
  Status Examine(const wrapper::Request& request, jobs::ContainerReport& container);
  wrapper::Answer Refused(const Status& why) const;
  void ConsumeFinished();
  wrapper::Answer Failed(jobs::ContainerReport& container, const Status& why);
  void EndAttempt(jobs::ContainerReport& container);
  wrapper::Answer GiveUp(jobs::ContainerReport& container, const Status& why);
  void AdoptContainer(jobs::ContainerReport& container);
  std::string DiskStagingPath() const;
  void Save();

  const jobs::RestoreJob job_;
  const std::string job_dir_;
  std::optional<archive::Archive> archive_;
  std::optional<StagingArea> staging_;
  jobs::Report report_;
  std::set<std::string> staged_;             // containers whose images lie in staging_
  std::map<std::string, Attempt> attempts_;  // by container
  std::optional<Deadline> hold_end_;
  bool barrier_open_ = false;  // containers that start from now on are not held
};

}  // namespace cryopod::restore
