#include "agent/jobs/checkpoint_job.h"

#include "agent/jobs/job_file.h"

// It is looked for where its type stands.
namespace cryopod::criu {
static void Describe(json::Fields& fields, DumpStats& dump) {
  fields.Optional("freezing_us", dump.freezing_us);
  fields.Optional("frozen_us", dump.frozen_us);
  fields.Optional("memdump_us", dump.memdump_us);
  fields.Optional("memwrite_us", dump.memwrite_us);
}
}  // namespace cryopod::criu

namespace cryopod::jobs {

void Describe(json::Fields& fields, RequestedContainer& container) {
  fields.Required("name", container.name);
  fields.Required("id", container.id);
  fields.Optional("image", container.image);
  fields.Optional("image_ref", container.image_ref);
  fields.Optional("image_id", container.image_id);
  fields.Optional("created_at_ns", container.created_at_ns);
  fields.Optional("config_json", container.config_json);
  fields.Optional("status_json", container.status_json);
  fields.Optional("mounts", container.mounts);
}

void Describe(json::Fields& fields, CheckpointJob& job) {
  DescribeKind(fields, JobKind::kCheckpoint);
  fields.Required("operation_id", job.operation_id);
  fields.Required("archive", job.archive);
  fields.Required("sandbox_id", job.sandbox_id);
  fields.Required("pod_name", job.pod_name);
  fields.Required("pod_namespace", job.pod_namespace);
  fields.Optional("pod_uid", job.pod_uid);
  fields.Optional("runtime_handler", job.runtime_handler);
  fields.Optional("sandbox_config_json", job.sandbox_config_json);
  fields.Optional("runtime_name", job.runtime_name);
  fields.Optional("runtime_version", job.runtime_version);
  fields.Required("containers", job.containers);
  fields.Optional("finished", job.finished);
  fields.Required("runtime_root", job.runtime_root);
  fields.Required("store_root", job.store_root);
  fields.Required("state_dir", job.state_dir);
  fields.Optional("criu_program", job.criu_program);
  fields.Optional("criu_tools_dir", job.criu_tools_dir);
  fields.Optional("stop_source", job.stop_source);
  fields.Optional("without_volumes", job.without_volumes);
  fields.Optional("restore_once", job.restore_once);
  fields.Optional("timeout_s", job.timeout_s);
  fields.Optional("freeze_budget_ms", job.freeze_budget_ms);
}

void Describe(json::Fields& fields, Journal& journal) {
  fields.Required("cgroups", journal.cgroups);
  fields.Required("criu", journal.criu);
  fields.Required("inits", journal.inits);
  fields.Optional("disk_staging", journal.disk_staging);
}

void Describe(json::Fields& fields, CheckpointResult& result) {
  fields.Required("status", result.status);
  fields.Optional("archive", result.archive);
  fields.Optional("digest", result.digest);
  fields.Optional("size_bytes", result.size_bytes);
  fields.Optional("captured_bytes", result.captured_bytes);
  fields.Optional("freeze_us", result.freeze_us);
  fields.Optional("phases", result.phases);
  fields.Optional("dumps", result.dumps);
  fields.Optional("lacks", result.lacks);
  fields.Optional("external_files", result.external_files);
  fields.Optional("source_killed", result.source_killed);
  fields.Optional("may_be_frozen", result.may_be_frozen);
}

}  // namespace cryopod::jobs
