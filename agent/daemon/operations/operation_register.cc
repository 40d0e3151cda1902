#include "agent/daemon/operations/operation_register.h"

#include <algorithm>
#include <utility>

#include "agent/jobs/job_directory.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::daemon {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;
using std::chrono::system_clock;

constexpr char kSuffix[] = ".json";

struct EndedOperation {
  OperationFacts facts;
  Outcome outcome;
};

void Describe(json::Fields& fields, EndedOperation& ended) {
  OperationFacts& facts = ended.facts;
  Outcome& outcome = ended.outcome;
  seconds began = duration_cast<seconds>(facts.began.time_since_epoch());
  fields.Required("operation_id", facts.id);
  fields.Named("kind", facts.kind, jobs::kJobKinds);
  fields.Optional("pod", facts.pod);
  fields.Optional("pod_key", facts.pod_key);
  fields.Optional("archive", facts.archive);
  fields.Optional("began_s", began);
  fields.Required("status", outcome.status);
  fields.Optional("checkpoint", outcome.checkpoint);
  fields.Optional("sandbox_id", outcome.restore.sandbox_id);
  fields.Optional("containers", outcome.restore.containers);
  fields.Optional("phases", outcome.restore.phases);
  fields.Optional("warnings", outcome.restore.warnings);
  facts.began = system_clock::time_point(began);
}

// Another question under the ID of an old one would be answered with that one's result.
Status CheckSame(const OperationFacts& asked, const OperationFacts& there) {
  const bool same_archive = !asked.archive_is_asked || asked.archive == there.archive;
  if (asked.kind == there.kind && asked.pod == there.pod && same_archive) return Status();
  return Status(Code::kAlreadyExists,
                "operation " + there.id + " is a " +
                    std::string(jobs::kJobKinds[static_cast<size_t>(there.kind)]) + " of pod " +
                    there.pod + " with archive " + there.archive + "; choose another ID");
}

}  // namespace

Result<OperationRegister::Begun> OperationRegister::Begin(OperationFacts facts) {
  if (facts.id.empty()) facts.id = jobs::NewOperationId(facts.kind);
  CRYOPOD_RETURN_IF_ERROR(jobs::CheckOperationId(facts.id));
  const std::lock_guard lock(mutex_);
  Result<std::shared_ptr<Operation>> known = FindLocked(facts.id);
  if (known.ok()) {
    CRYOPOD_RETURN_IF_ERROR(CheckSame(facts, (*known)->facts()));
    return Begun{std::move(known).value(), true};
  }
  if (const auto other = running_.find(facts.pod_key); other != running_.end()) {
    return Status(Code::kAborted, "operation " + other->second->id() + " runs on pod " + facts.pod +
                                      "; one at a time: try again when it has ended");
  }
  auto operation = std::make_shared<Operation>(std::move(facts));
  running_[operation->facts().pod_key] = operation;
  return Begun{std::move(operation), false};
}

void OperationRegister::Finish(const std::shared_ptr<Operation>& operation, Outcome outcome,
                               const std::function<void()>& remove_job) {
  const Status remembered = Remember(*operation, outcome);
  if (!remembered.ok()) {
    Log(LogLevel::kWarning, "remembering how an operation ended",
        {{"operation", operation->id()}, {"reason", remembered.message()}});
  }
  if (remove_job) remove_job();
  Drop(*operation);
  operation->Finish(std::move(outcome));
}

void OperationRegister::Drop(const Operation& operation) {
  const std::lock_guard lock(mutex_);
  const auto running = running_.find(operation.facts().pod_key);
  if (running != running_.end() && running->second.get() == &operation) running_.erase(running);
}

Result<std::shared_ptr<Operation>> OperationRegister::FindSame(const OperationFacts& asked) const {
  CRYOPOD_ASSIGN_OR_RETURN(std::shared_ptr<Operation> known, Find(asked.id));
  CRYOPOD_RETURN_IF_ERROR(CheckSame(asked, known->facts()));
  return known;
}

Result<std::shared_ptr<Operation>> OperationRegister::Find(const std::string& id) const {
  CRYOPOD_RETURN_IF_ERROR(jobs::CheckOperationId(id));
  const std::lock_guard lock(mutex_);
  for (const ForeignJob& job : foreign_) {
    if (job.id == id) return Status(Code::kUnimplemented, "operation " + id + ": " + job.why);
  }
  Result<std::shared_ptr<Operation>> known = FindLocked(id);
  if (known.status().code() != Code::kNotFound) return known;
  return Status(Code::kNotFound,
                "no operation " + id + "; \"cryopodctl list --all\" shows those that are known");
}

std::shared_ptr<Operation> OperationRegister::FindByPod(const std::string& pod_key) const {
  const std::lock_guard lock(mutex_);
  const auto running = running_.find(pod_key);
  return running != running_.end() ? running->second : nullptr;
}

std::vector<std::shared_ptr<Operation>> OperationRegister::ListRunning() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Operation>> list;
  for (const auto& [pod, operation] : running_) list.push_back(operation);
  return list;
}

std::vector<std::shared_ptr<Operation>> OperationRegister::ListEnded() const {
  std::vector<std::shared_ptr<Operation>> list;
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(EndedDir());
  if (!entries.ok()) return list;
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.name.ends_with(kSuffix)) continue;
    const std::lock_guard lock(mutex_);
    Result<std::shared_ptr<Operation>> known =
        FindLocked(entry.name.substr(0, entry.name.size() - sizeof kSuffix + 1));
    // One whose job is being removed is remembered already, and runs.
    if (known.ok() && (*known)->finished()) list.push_back(std::move(known).value());
  }
  std::sort(list.begin(), list.end(), [](const auto& one, const auto& other) {
    return one->facts().began > other->facts().began;
  });
  return list;
}

void OperationRegister::AddForeign(const std::string& id, const Status& why) {
  Log(LogLevel::kError, "a job of another version is left alone",
      {{"operation", id}, {"reason", why.message()}});
  const std::lock_guard lock(mutex_);
  foreign_.push_back({id, why.message()});
}

std::vector<ForeignJob> OperationRegister::ListForeign() const {
  const std::lock_guard lock(mutex_);
  return foreign_;
}

std::string OperationRegister::LogFolder(const std::string& id) const {
  const std::string folder = state_dir_ + "/logs/" + id;
  return PathExists(folder) ? folder : "";
}

// mutex_ is held. Running or ended.
Result<std::shared_ptr<Operation>> OperationRegister::FindLocked(const std::string& id) const {
  for (const auto& [pod, operation] : running_) {
    if (operation->id() == id) return operation;
  }
  CRYOPOD_ASSIGN_OR_RETURN(EndedOperation ended,
                           jobs::ReadFileOf<EndedOperation>(EndedDir(), (id + kSuffix).c_str()));
  return std::make_shared<Operation>(std::move(ended.facts), std::move(ended.outcome));
}

Status OperationRegister::Remember(const Operation& operation, const Outcome& outcome) const {
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(EndedDir(), 0700));
  CRYOPOD_RETURN_IF_ERROR(jobs::WriteFileOf(EndedDir(), (operation.id() + kSuffix).c_str(),
                                            EndedOperation{operation.facts(), outcome}));
  RemoveOldest(EndedDir(), kEndedMax, system_clock::to_time_t(system_clock::now() - kEndedAge));
  return Status();
}

}  // namespace cryopod::daemon
