#include "agent/jobs/pod_journal.h"

#include <nlohmann/json.hpp>

#include "agent/daemon/operations/operation.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_directory.h"
#include "agent/os/file.h"

namespace cryopod::jobs {
namespace {

using nlohmann::json;

constexpr size_t kFileBytesMax = size_t{1} << 20;

std::string JobDir(const settings::AgentSettings& config, const std::string& operation_id) {
  return config.jobs_dir() + "/" + operation_id;
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool TakeString(const json& object, const char* name, std::string& value) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return false;
  value = found->get<std::string>();
  return true;
}

bool TakeStrings(const json& object, const char* name, std::vector<std::string>& values) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array()) return false;
  for (const json& item : *found) {
    if (!item.is_string()) return false;
    values.push_back(item.get<std::string>());
  }
  return true;
}

Result<json> ReadObject(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kFileBytesMax));
  json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return Status(Code::kDataLoss, path + " is no JSON object");
  return parsed;
}

}  // namespace

std::string NewPodJobId() {
  const std::string id = NewOperationId(OperationKind::kRestore);
  return kPodJobPrefix + id.substr(id.find('-') + 1);
}

Status BeginRestoreJournal(const settings::AgentSettings& config, const RestoreJournal& journal) {
  return CreateJobDirectory(config.jobs_dir(), journal.operation_id,
                            Dump({{"restore_operation", journal.restore_operation},
                                  {"archive", journal.archive},
                                  {"pod_uid", journal.pod_uid},
                                  {"pod_namespace", journal.pod_namespace},
                                  {"pod_name", journal.pod_name},
                                  {"containers", journal.containers}}));
}

Status RecordSandbox(const settings::AgentSettings& config, const RestoreJournal& journal) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory,
                           OpenDirectory(JobDir(config, journal.operation_id)));
  return WriteFileAtomically(directory.get(), jobs::kJournalFile,
                             Dump({{"sandbox_id", journal.sandbox_id}}));
}

Result<RestoreJournal> ReadRestoreJournal(const settings::AgentSettings& config,
                                          const std::string& operation_id) {
  const std::string job_dir = JobDir(config, operation_id);
  const std::string request_path = job_dir + "/" + jobs::kRequestFile;
  CRYOPOD_ASSIGN_OR_RETURN(const json request, ReadObject(request_path));
  RestoreJournal journal;
  journal.operation_id = operation_id;
  const bool whole = TakeString(request, "restore_operation", journal.restore_operation) &&
                     TakeString(request, "archive", journal.archive) &&
                     TakeString(request, "pod_uid", journal.pod_uid) &&
                     TakeString(request, "pod_namespace", journal.pod_namespace) &&
                     TakeString(request, "pod_name", journal.pod_name) &&
                     TakeStrings(request, "containers", journal.containers);
  // Without it nothing of the runtime's could be told to be ours.
  if (!whole || journal.restore_operation.empty()) {
    return Status(Code::kDataLoss, request_path + ": a field is missing");
  }
  const std::string journal_path = job_dir + "/" + jobs::kJournalFile;
  const Result<json> recorded = ReadObject(journal_path);
  if (recorded.ok() && !TakeString(*recorded, "sandbox_id", journal.sandbox_id)) {
    return Status(Code::kDataLoss, journal_path + ": field sandbox_id is missing");
  }
  if (!recorded.ok() && recorded.status().code() != Code::kNotFound) return recorded.status();
  return journal;
}

}  // namespace cryopod::jobs
