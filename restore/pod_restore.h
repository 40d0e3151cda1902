#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "restore/mounts/live_mounts.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"
#include "restore/runtime/protocol/once_record.h"
#include "restore/security_context.h"
#include "restore/stage_archive.h"

namespace cryopod::restore {

// The restore of one pod: answers the runtime's calls for its containers and keeps the report of
// the job directory up to date.
//
// A container goes waiting → staged → restoring → restored → held → started. All that are held are
// let run together, and recorded as one before that: until then the whole pod can be restored
// again, from then on none of it is.
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

  // When the held containers are to be let run, whoever is missing; none while nothing is held.
  // Whose restore is under way is waited for, as long as it may take.
  std::optional<Deadline> release_time() const;
  // Nothing runs unless it could be recorded; on an error they stay held, and it is due again soon.
  Status ReleaseHeld();

  // Somebody has asked, and every container of the checkpoint runs.
  bool finished() const;
  // The archive or the node does not serve, which somebody has been told, and nothing of the pod is
  // restored: whoever asks again is for a process that begins with what stands in the store then.
  bool over() const { return over_; }
  // Lets run what is held, ends what was not started, removes the staging area, writes the last
  // report.
  void End();

  const jobs::Report& report() const { return report_; }

 private:
  // What is known of the attempt to restore a container; of the last one, when none is open.
  struct Attempt {
    int number = 0;
    std::string work_dir;
    SecurityContext context;  // both of the live request
    LiveMounts mounts;
    std::string remark;           // in what that differs from the archive
    std::optional<Deadline> end;  // until then it may be restored and started
  };

  Status Prepare();
  Status Check();
  void Add(const std::string& container);
  Status CheckOnce() const;
  wrapper::OnceRecord OnceRecordOf() const;
  Status EnsureStaged(jobs::ContainerReport& container);
  Result<jobs::ContainerReport*> FindContainer(const std::string& name);
  // The container whose attempt is open under this id, or nullptr.
  jobs::ContainerReport* FindAttempt(const std::string& container_id);
  // Its runtime restores, or has restored, and nothing of it has run.
  static bool IsUnderWay(const jobs::ContainerReport& container);
  static bool IsHeld(const jobs::ContainerReport& container);
  static bool Runs(const jobs::ContainerReport& container);
  // Nothing of the pod is restored.
  bool IsUntouched() const;
  Status CheckRequest(const wrapper::Request& request) const;
  Status AdaptImages(const wrapper::Request& request, const Attempt& attempt);
  Result<wrapper::Plan> BeginAttempt(const wrapper::Request& request,
                                     jobs::ContainerReport& container);
  Status Complete(jobs::ContainerReport& container, const Attempt& attempt);
  void RemarkHold(const jobs::ContainerReport& container, Attempt& attempt) const;
  Status Judge(jobs::ContainerReport& container, const wrapper::Outcome& outcome);
  wrapper::Answer OnCreateConsumed(const wrapper::Request& request, wrapper::Due due);
  wrapper::Answer OnCreateFinished(const wrapper::Request& request);
  wrapper::Answer OnCreateUnknown(const wrapper::Request& request, const Status& why) const;
  Status Examine(const wrapper::Request& request, jobs::ContainerReport& container);
  wrapper::Answer Refused(const Status& why) const;
  void NoteArchive(const Status& failure, bool somebody_hears);
  void LetGoOfArchive(bool somebody_hears);
  Status Hold(const wrapper::Request& request, jobs::ContainerReport& container);
  wrapper::ConsumedRecord ConsumedBy(const wrapper::Request& request,
                                     const jobs::ContainerReport& container) const;
  bool WasRestored(const jobs::ContainerReport& container) const;
  void LookAtHeld();
  bool IsReleaseDue() const;
  wrapper::Answer Failed(jobs::ContainerReport& container, const Status& why);
  void EndAttempt(jobs::ContainerReport& container);
  wrapper::Answer GiveUp(jobs::ContainerReport& container, const Status& why);
  void AdoptContainer(jobs::ContainerReport& container);
  std::string DiskStagingPath() const;
  void Save();

  const jobs::RestoreJob job_;
  const std::string job_dir_;
  UniqueFd lease_;  // on the archive, so that it stays
  std::optional<archive::Archive> archive_;
  Status hold_plugin_;           // can it be used? Else stop signals hold what is restored
  bool reopen_archive_ = false;  // it is damaged, and may have been replaced since
  std::optional<StagingArea> staging_;
  jobs::Report report_;
  std::set<std::string> staged_;             // containers whose images lie in staging_
  std::map<std::string, Attempt> attempts_;  // by container
  std::set<std::string> finished_;           // containers that had finished before the cut
  std::set<std::string> replaced_;           // those of them that were asked for
  std::optional<Deadline> hold_end_;         // since the first one is held
  bool asked_ = false;
  bool over_ = false;
};

}  // namespace cryopod::restore
