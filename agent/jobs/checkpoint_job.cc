#include "agent/jobs/checkpoint_job.h"

#include <fcntl.h>

#include <nlohmann/json.hpp>
#include <type_traits>

#include "agent/os/file.h"
#include "agent/os/proc.h"

namespace cryopod::jobs {
namespace {

using nlohmann::json;

constexpr size_t kJobFileBytesMax = size_t{64} << 20;

// Reads the fields of one object and remembers the first that is missing or of another type.
class Fields {
 public:
  Fields(const json& object, std::string what) : object_(object), what_(std::move(what)) {
    if (!object.is_object()) Fail("is no JSON object");
  }

  template <typename T>
  Fields& Get(const char* name, T& value) {
    const json* const field = Find(name);
    if (field == nullptr) return *this;
    if constexpr (std::is_same_v<T, std::string>) {
      if (!field->is_string()) return Fail(std::string("field ") + name + " is no string");
      value = field->get_ref<const std::string&>();
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!field->is_boolean()) return Fail(std::string("field ") + name + " is no boolean");
      value = field->get<bool>();
    } else {
      if (!field->is_number_integer()) return Fail(std::string("field ") + name + " is no integer");
      value = field->get<T>();
    }
    return *this;
  }

  Fields& Get(const char* name, std::vector<std::string>& values) {
    return GetList(name, [this, name, &values](const json& item) {
      if (item.is_string()) {
        values.push_back(item.get<std::string>());
      } else {
        Fail(std::string("field ") + name + " holds something else than strings");
      }
    });
  }

  template <typename Each>
  Fields& GetList(const char* name, const Each& each) {
    const json* const field = Find(name);
    if (field == nullptr) return *this;
    if (!field->is_array()) return Fail(std::string("field ") + name + " is no list");
    for (const json& item : *field) each(item);
    return *this;
  }

  Fields& Fail(const std::string& why) {
    if (status_.ok()) status_ = Status(Code::kInvalidArgument, what_ + ": " + why);
    return *this;
  }
  void Merge(const Fields& other) {
    if (status_.ok()) status_ = other.status_;
  }
  const Status& status() const { return status_; }

 private:
  const json* Find(const char* name) {
    if (!status_.ok()) return nullptr;
    const auto found = object_.find(name);
    if (found != object_.end()) return &*found;
    Fail(std::string("field ") + name + " is missing");
    return nullptr;
  }

  const json& object_;
  std::string what_;
  Status status_;
};

Result<json> Parse(std::string_view text, const char* what) {
  json parsed = json::parse(text, nullptr, false);
  if (parsed.is_discarded()) {
    return Status(Code::kInvalidArgument, std::string(what) + " is no valid JSON");
  }
  return parsed;
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json IdentityJson(const ProcessIdentity& identity) {
  return {{"pid", identity.pid}, {"start_ticks", identity.start_ticks}};
}

json IdentityList(const std::vector<ProcessIdentity>& identities) {
  json list = json::array();
  for (const ProcessIdentity& identity : identities) list.push_back(IdentityJson(identity));
  return list;
}

void GetIdentities(Fields& fields, const char* name, std::vector<ProcessIdentity>& values) {
  fields.GetList(name, [&fields, &values](const json& item) {
    ProcessIdentity identity;
    Fields process(item, "process");
    process.Get("pid", identity.pid).Get("start_ticks", identity.start_ticks);
    fields.Merge(process);
    values.push_back(identity);
  });
}

json ContainerJson(const RequestedContainer& container) {
  json mounts = json::array();
  for (const archive::MountRecord& mount : container.mounts) {
    mounts.push_back({{"destination", mount.destination},
                      {"source", mount.source},
                      {"read_only", mount.read_only}});
  }
  return {{"name", container.name},
          {"id", container.id},
          {"image", container.image},
          {"image_ref", container.image_ref},
          {"created_at_ns", container.created_at_ns},
          {"config_json", container.config_json},
          {"status_json", container.status_json},
          {"mounts", mounts}};
}

RequestedContainer ParseContainer(const json& item, Fields& job) {
  RequestedContainer container;
  Fields fields(item, "container");
  fields.Get("name", container.name)
      .Get("id", container.id)
      .Get("image", container.image)
      .Get("image_ref", container.image_ref)
      .Get("created_at_ns", container.created_at_ns)
      .Get("config_json", container.config_json)
      .Get("status_json", container.status_json)
      .GetList("mounts", [&](const json& mount_item) {
        archive::MountRecord mount;
        Fields mount_fields(mount_item, "mount");
        mount_fields.Get("destination", mount.destination)
            .Get("source", mount.source)
            .Get("read_only", mount.read_only);
        fields.Merge(mount_fields);
        container.mounts.push_back(mount);
      });
  job.Merge(fields);
  return container;
}

json FinishedJson(const std::vector<archive::FinishedContainer>& finished) {
  json list = json::array();
  for (const archive::FinishedContainer& container : finished) {
    list.push_back(
        {{"name", container.name}, {"image", container.image}, {"image_ref", container.image_ref}});
  }
  return list;
}

archive::FinishedContainer ParseFinished(const json& item, Fields& job) {
  archive::FinishedContainer container;
  Fields fields(item, "finished container");
  fields.Get("name", container.name)
      .Get("image", container.image)
      .Get("image_ref", container.image_ref);
  job.Merge(fields);
  return container;
}

// These fields are absent from what an older cryopod-checkpoint wrote.
void GetDumps(Fields& result, std::vector<criu::DumpStats>& dumps) {
  result.GetList("dumps", [&](const json& item) {
    criu::DumpStats dump;
    Fields fields(item, "dump");
    fields.Get("freezing_us", dump.freezing_us)
        .Get("frozen_us", dump.frozen_us)
        .Get("memdump_us", dump.memdump_us)
        .Get("memwrite_us", dump.memwrite_us);
    result.Merge(fields);
    dumps.push_back(dump);
  });
}

}  // namespace

std::string ToJson(const CheckpointJob& job) {
  json containers = json::array();
  for (const RequestedContainer& container : job.containers) {
    containers.push_back(ContainerJson(container));
  }
  return Dump({{"operation_id", job.operation_id},
               {"archive", job.archive},
               {"sandbox_id", job.sandbox_id},
               {"pod_name", job.pod_name},
               {"pod_namespace", job.pod_namespace},
               {"pod_uid", job.pod_uid},
               {"runtime_handler", job.runtime_handler},
               {"sandbox_config_json", job.sandbox_config_json},
               {"runtime_name", job.runtime_name},
               {"runtime_version", job.runtime_version},
               {"containers", containers},
               {"finished", FinishedJson(job.finished)},
               {"runtime_root", job.runtime_root},
               {"store_root", job.store_root},
               {"state_dir", job.state_dir},
               {"criu_program", job.criu_program},
               {"criu_tools_dir", job.criu_tools_dir},
               {"stop_source", job.stop_source},
               {"without_volumes", job.without_volumes},
               {"timeout_s", job.timeout_s}});
}

Result<CheckpointJob> ParseCheckpointJob(std::string_view text) {
  CRYOPOD_ASSIGN_OR_RETURN(const json parsed, Parse(text, kRequestFile));
  CheckpointJob job;
  Fields fields(parsed, kRequestFile);
  fields.Get("operation_id", job.operation_id)
      .Get("archive", job.archive)
      .Get("sandbox_id", job.sandbox_id)
      .Get("pod_name", job.pod_name)
      .Get("pod_namespace", job.pod_namespace)
      .Get("pod_uid", job.pod_uid)
      .Get("runtime_handler", job.runtime_handler)
      .Get("sandbox_config_json", job.sandbox_config_json)
      .Get("runtime_name", job.runtime_name)
      .Get("runtime_version", job.runtime_version)
      .Get("runtime_root", job.runtime_root)
      .Get("store_root", job.store_root)
      .Get("state_dir", job.state_dir)
      .Get("criu_program", job.criu_program)
      .Get("criu_tools_dir", job.criu_tools_dir)
      .Get("stop_source", job.stop_source)
      .Get("without_volumes", job.without_volumes)
      .Get("timeout_s", job.timeout_s)
      .GetList("containers",
               [&](const json& item) { job.containers.push_back(ParseContainer(item, fields)); })
      .GetList("finished",
               [&](const json& item) { job.finished.push_back(ParseFinished(item, fields)); });
  if (!fields.status().ok()) return fields.status();
  return job;
}

bool IsAlive(const ProcessIdentity& identity) {
  const Result<ProcessInfo> info = ReadProcessInfo(identity.pid);
  return info.ok() && info->start_time_ticks == identity.start_ticks && info->state != 'Z' &&
         info->state != 'X';
}

Result<ProcessIdentity> IdentifyProcess(pid_t pid) {
  CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo info, ReadProcessInfo(pid));
  return ProcessIdentity{pid, info.start_time_ticks};
}

Status WriteProcessFile(int job_dir_fd, const ProcessIdentity& identity) {
  return WriteFileAtomically(job_dir_fd, kProcessFile, Dump(IdentityJson(identity)));
}

Result<ProcessIdentity> ReadProcessFile(int job_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFileAt(job_dir_fd, kProcessFile, kJobFileBytesMax));
  CRYOPOD_ASSIGN_OR_RETURN(const json parsed, Parse(text, kProcessFile));
  ProcessIdentity identity;
  Fields fields(parsed, kProcessFile);
  fields.Get("pid", identity.pid).Get("start_ticks", identity.start_ticks);
  if (!fields.status().ok()) return fields.status();
  return identity;
}

std::string ToJson(const Journal& journal) {
  return Dump({{"cgroups", journal.cgroups},
               {"criu", IdentityList(journal.criu)},
               {"inits", IdentityList(journal.inits)},
               {"disk_staging", journal.disk_staging}});
}

Result<Journal> ParseJournal(std::string_view text) {
  CRYOPOD_ASSIGN_OR_RETURN(const json parsed, Parse(text, kJournalFile));
  Journal journal;
  Fields fields(parsed, kJournalFile);
  fields.Get("cgroups", journal.cgroups).Get("disk_staging", journal.disk_staging);
  GetIdentities(fields, "criu", journal.criu);
  GetIdentities(fields, "inits", journal.inits);
  if (!fields.status().ok()) return fields.status();
  return journal;
}

std::string ToJson(const JobEvent& event) {
  return Dump({{"stage", event.stage},
               {"container", event.container},
               {"bytes_done", event.bytes_done},
               {"bytes_total", event.bytes_total}});
}

Result<JobEvent> ParseJobEvent(std::string_view text) {
  CRYOPOD_ASSIGN_OR_RETURN(const json parsed, Parse(text, kEventsFile));
  JobEvent event;
  Fields fields(parsed, kEventsFile);
  fields.Get("stage", event.stage)
      .Get("container", event.container)
      .Get("bytes_done", event.bytes_done)
      .Get("bytes_total", event.bytes_total);
  if (!fields.status().ok()) return fields.status();
  return event;
}

std::string ToJson(const JobResult& result) {
  json phases = json::array();
  for (const archive::PhaseTiming& phase : result.phases) {
    phases.push_back({{"name", phase.name}, {"duration_us", phase.duration_us}});
  }
  json dumps = json::array();
  for (const criu::DumpStats& dump : result.dumps) {
    dumps.push_back({{"freezing_us", dump.freezing_us},
                     {"frozen_us", dump.frozen_us},
                     {"memdump_us", dump.memdump_us},
                     {"memwrite_us", dump.memwrite_us}});
  }
  return Dump({{"code", static_cast<int>(result.status.code())},
               {"message", result.status.message()},
               {"reason", ReasonName(result.status.reason())},
               {"archive", result.archive},
               {"digest", result.digest},
               {"size_bytes", result.size_bytes},
               {"captured_bytes", result.captured_bytes},
               {"freeze_us", result.freeze_us},
               {"phases", phases},
               {"dumps", dumps},
               {"lacks", result.lacks},
               {"external_files", result.external_files},
               {"source_killed", result.source_killed}});
}

Result<JobResult> ParseJobResult(std::string_view text) {
  CRYOPOD_ASSIGN_OR_RETURN(const json parsed, Parse(text, kResultFile));
  JobResult result;
  int code = 0;
  std::string message;
  Fields fields(parsed, kResultFile);
  fields.Get("code", code)
      .Get("message", message)
      .Get("archive", result.archive)
      .Get("digest", result.digest)
      .Get("size_bytes", result.size_bytes)
      .Get("captured_bytes", result.captured_bytes)
      .Get("freeze_us", result.freeze_us)
      .Get("lacks", result.lacks)
      .Get("source_killed", result.source_killed)
      .GetList("phases", [&](const json& item) {
        archive::PhaseTiming phase;
        Fields phase_fields(item, "phase");
        phase_fields.Get("name", phase.name).Get("duration_us", phase.duration_us);
        fields.Merge(phase_fields);
        result.phases.push_back(phase);
      });
  if (parsed.contains("dumps")) GetDumps(fields, result.dumps);
  if (parsed.contains("external_files")) fields.Get("external_files", result.external_files);
  std::string reason;
  if (parsed.contains("reason")) fields.Get("reason", reason);
  if (!fields.status().ok()) return fields.status();
  if (code != 0) {
    result.status = Status(CodeFromNumber(code), message,
                           reason.empty() ? Reason::kNone : ReasonFromName(reason));
  }
  return result;
}

}  // namespace cryopod::jobs
