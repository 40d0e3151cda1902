#include "agent/jobs/pod_journal.h"

#include "agent/jobs/job_directory.h"

namespace cryopod::jobs {
namespace {

struct Sandbox {
  std::string id;
};

void Describe(json::Fields& fields, Sandbox& sandbox) { fields.Required("sandbox_id", sandbox.id); }

}  // namespace

void Describe(json::Fields& fields, PodJournal& journal) {
  DescribeKind(fields, JobKind::kPod);
  // Without it nothing of the runtime's could be told to be ours.
  fields.Required("restore_operation", journal.restore_operation, json::Name);
  fields.Required("archive", journal.archive);
  fields.Required("pod_uid", journal.pod_uid);
  fields.Required("pod_namespace", journal.pod_namespace);
  fields.Required("pod_name", journal.pod_name);
  fields.Required("containers", journal.containers);
}

Status BeginPodJournal(const std::string& jobs_dir, const PodJournal& journal) {
  return CreateJobDirectory(jobs_dir, journal.operation_id, ToText(journal));
}

Status RecordSandbox(const std::string& jobs_dir, const PodJournal& journal) {
  return WriteFileOf(jobs_dir + "/" + journal.operation_id, kJournalFile,
                     Sandbox{journal.sandbox_id});
}

Result<PodJournal> ReadPodJournal(const std::string& jobs_dir, const std::string& operation_id) {
  const std::string job_dir = jobs_dir + "/" + operation_id;
  CRYOPOD_ASSIGN_OR_RETURN(PodJournal journal, ReadFileOf<PodJournal>(job_dir, kRequestFile));
  journal.operation_id = operation_id;
  const Result<Sandbox> sandbox = ReadFileOf<Sandbox>(job_dir, kJournalFile);
  if (!sandbox.ok() && sandbox.status().code() != Code::kNotFound) return sandbox.status();
  if (sandbox.ok()) journal.sandbox_id = sandbox->id;
  return journal;
}

}  // namespace cryopod::jobs
