#include "agent/ctl/answers.h"
#include "agent/json/value.h"
#include "agent/terminal/text.h"

namespace cryopod::ctl {
namespace {

using terminal::FormatMib;
using terminal::FormatMs;
using terminal::FormatTable;
using Rows = std::vector<std::vector<std::string>>;

std::string PhaseTable(const std::vector<api::Phase>& phases) {
  if (phases.empty()) return "";
  Rows rows = {{"PHASE", "DURATION"}};
  for (const api::Phase& phase : phases) rows.push_back({phase.name, FormatMs(phase.duration_us)});
  return "\n" + FormatTable(rows, {1});
}

// A row each, under the same name.
void AddRows(const std::string& name, const std::vector<std::string>& texts, Rows* rows) {
  for (const std::string& text : texts) rows->push_back({name, text});
}

Rows SummaryRows(const api::ArchiveSummary& summary) {
  Rows rows = {{"archive", summary.name},
               {"digest", summary.digest},
               {"pod", summary.pod_namespace + "/" + summary.pod},
               {"pod uid", summary.pod_uid},
               {"created", summary.created},
               {"size", FormatMib(summary.size_bytes)},
               {"containers", terminal::Join(summary.containers)}};
  if (!summary.damage.empty()) rows.push_back({"damaged", summary.damage});
  return rows;
}

void AddExternalFiles(const json::Value& checkpoint, Rows* rows) {
  for (const json::Value& container : checkpoint.At("containers").Elements()) {
    for (const json::Value& file : container.At("externalFiles").Elements()) {
      if (file.object() == nullptr) continue;
      const std::string path = file.At("path").Text();
      rows->push_back({"needs", "container " + container.At("name").Text() + ": " +
                                    file.At("mountPoint").Text() +
                                    (path.empty() ? "" : "/" + path)});
    }
  }
}

void AddNode(const json::Value& node, Rows* rows) {
  if (node.object() == nullptr) return;
  rows->push_back({"kernel", node.At("kernel").Text() + " " + node.At("architecture").Text() +
                                 ", cgroup " + node.At("cgroupVersion").Text()});
  rows->push_back({"criu", node.At("criuVersion").Text()});
  rows->push_back(
      {"runtime", node.At("runtimeName").Text() + " " + node.At("runtimeVersion").Text()});
}

std::string ContainerTable(const json::Value& checkpoint) {
  Rows rows = {{"CONTAINER", "IMAGE", "PROCESSES", "TASKS", "MEMORY", "FILES"}};
  for (const json::Value& container : checkpoint.At("containers").Elements()) {
    if (container.object() == nullptr) continue;
    rows.push_back({container.At("name").Text(), container.At("image").Text(),
                    std::to_string(container.At("processes").Number()),
                    std::to_string(container.At("tasks").Number()),
                    FormatMib(container.At("imagesBytes").Number()),
                    FormatMib(container.At("rootfsBytes").Number())});
  }
  return rows.size() > 1 ? "\n" + FormatTable(rows, {2, 3, 4, 5}) : "";
}

// "dump app 45 %" of one that runs, else what it came to.
std::string StateOf(const api::Operation& operation) {
  if (operation.state == "foreign") return operation.stage + ": " + operation.message;
  if (operation.state != "running") {
    return operation.state + (operation.reason.empty() ? "" : ": " + operation.reason);
  }
  std::string state = operation.stage;
  if (!operation.container.empty()) state += " " + operation.container;
  if (operation.bytes_total == 0) return state;
  const double part =
      static_cast<double>(operation.bytes_done) / static_cast<double>(operation.bytes_total);
  return state + " " + std::to_string(static_cast<int>(100 * part)) + " %";
}

void Append(const std::vector<std::string>& cells, std::vector<std::string>* row) {
  row->insert(row->end(), cells.begin(), cells.end());
}

std::string OperationTable(const std::vector<api::Operation>& operations, bool wide) {
  if (operations.empty()) return "";
  Rows rows = {{"OPERATION", "KIND", "POD", "BEGAN", "STATE"}};
  if (wide) Append({"ARCHIVE", "TIMEOUT", "MESSAGE"}, &rows.back());
  for (const api::Operation& operation : operations) {
    rows.push_back({operation.operation_id, operation.kind, operation.pod, operation.began,
                    StateOf(operation)});
    if (!wide) continue;
    Append({operation.archive, std::to_string(operation.timeout_seconds) + "s", operation.message},
           &rows.back());
  }
  return "\n" + FormatTable(rows);
}

std::string ListingTables(const api::Listing& listing, bool wide) {
  const std::string operations = OperationTable(listing.operations, wide);
  if (listing.archives.empty()) return "no archives\n" + operations;
  Rows rows = {{"ARCHIVE", "POD", "CREATED", "SIZE", "CONTAINERS"}};
  if (wide) Append({"DIGEST", "POD UID"}, &rows.back());
  for (const api::ArchiveSummary& archive : listing.archives) {
    if (!archive.damage.empty()) {
      rows.push_back({archive.name, "-", "-", "-", "damaged: " + archive.damage});
      continue;
    }
    rows.push_back({archive.name, archive.pod_namespace + "/" + archive.pod, archive.created,
                    FormatMib(archive.size_bytes), terminal::Join(archive.containers)});
    if (wide) Append({archive.digest, archive.pod_uid}, &rows.back());
  }
  return FormatTable(rows, {3}) + operations;
}

const char* StateText(api::RequirementState state) {
  if (state == api::RequirementState::kMet) return "ok";
  return state == api::RequirementState::kLacking ? "LACKING" : "not seen";
}

}  // namespace

std::string ToText(const api::CheckpointResult& result) {
  Rows rows = {{"archive", result.archive},
               {"digest", result.digest},
               {"size", FormatMib(result.size_bytes) + " (" + FormatMib(result.captured_bytes) +
                            " captured)"},
               {"freeze", FormatMs(result.freeze_us)},
               {"source", result.source_stopped ? "stopped" : "runs on"}};
  AddRows("lacks", result.lacks, &rows);
  AddRows("needs", result.external_files, &rows);
  return FormatTable(rows) + PhaseTable(result.phases);
}

std::string ToText(const api::RestoreResult& result) {
  Rows head = {{"sandbox", result.pod_sandbox_id}, {"outcome", result.outcome}};
  AddRows("warning", result.warnings, &head);
  std::string text = FormatTable(head);
  Rows rows = {{"CONTAINER", "ID", "PID"}};
  for (const api::RestoredContainer& container : result.containers) {
    rows.push_back({container.name, container.container_id, std::to_string(container.pid)});
  }
  text += "\n" + FormatTable(rows, {2});
  return text + PhaseTable(result.phases);
}

std::string ToText(const api::OperationResult& result) {
  return std::visit([](const auto& answer) { return ToText(answer); }, result);
}

std::string ToText(const api::Listing& listing) { return ListingTables(listing, /*wide=*/false); }

std::string ToWideText(const api::Listing& listing) {
  return ListingTables(listing, /*wide=*/true);
}

std::string ToText(const api::Inspection& inspection) {
  Rows rows = SummaryRows(inspection.summary);
  const Result<json::Value> parsed = json::Parse(inspection.pod_checkpoint_json);
  if (!parsed.ok() || parsed->object() == nullptr) return FormatTable(rows);
  const json::Value& checkpoint = *parsed;
  rows.push_back({"freeze", FormatMs(checkpoint.At("freezeUs").Number())});
  AddNode(checkpoint.At("node"), &rows);
  AddRows("lacks", checkpoint.At("lacks").Texts(), &rows);
  AddExternalFiles(checkpoint, &rows);
  std::vector<api::Phase> phases;
  for (const json::Value& phase : checkpoint.At("phases").Elements()) {
    if (phase.object() == nullptr) continue;
    phases.push_back({phase.At("name").Text(), phase.At("durationUs").Number()});
  }
  return FormatTable(rows) + ContainerTable(checkpoint) + PhaseTable(phases);
}

std::string ToText(const Verified& verified) {
  const api::Verification& found = verified.verification;
  return FormatTable({{"archive", verified.archive},
                      {"digest", found.digest},
                      {"blobs", std::to_string(found.blobs) + ", all as they were written"},
                      {"size", FormatMib(found.size_bytes)}});
}

std::string ToText(const Versions& versions) {
  return FormatTable({{"cryopodctl", versions.client},
                      {"agent", versions.agent.empty() ? versions.problem : versions.agent}});
}

std::string ToText(const api::ArchiveSummary& summary) { return FormatTable(SummaryRows(summary)); }

std::string ToText(const api::NodeInfo& node) {
  Rows rows = {{"agent", node.agent_version},
               {"criu", node.criu_version},
               {"runtime", node.runtime_name + " " + node.runtime_version},
               {"kernel", node.kernel + " " + node.architecture},
               {"cgroup", node.cgroup_version}};
  for (const std::string& problem : node.problems) rows.push_back({"problem", problem});
  if (node.problems.empty()) rows.push_back({"ready", "can checkpoint and restore"});
  return FormatTable(rows);
}

std::string ToText(const RunningPod& pod) {
  Rows rows = {{"CONTAINER", "ID"}};
  for (const auto& [name, id] : pod.containers) rows.push_back({name, id});
  return "pod sandbox " + terminal::OneLine(pod.sandbox_id) + "\n\n" + FormatTable(rows);
}

std::string ToText(const Exported& exported) {
  return "wrote " + terminal::OneLine(exported.file) + ", " + FormatMib(exported.size_bytes) + "\n";
}

std::string ToText(const Done& done) {
  return done.what + " " + terminal::OneLine(done.subject) + "\n";
}

std::string ToText(const std::vector<api::Requirement>& requirements) {
  Rows rows = {{"REQUIREMENT", "STATE", "FOUND"}};
  std::string lacking;
  for (const api::Requirement& requirement : requirements) {
    const bool unknown = requirement.state == api::RequirementState::kUnknown;
    rows.push_back({requirement.name, StateText(requirement.state),
                    unknown ? requirement.reason : requirement.found});
    if (requirement.state != api::RequirementState::kLacking) continue;
    lacking += "\n" + terminal::OneLine(requirement.name) +
               " is lacking: " + terminal::OneLine(requirement.reason) +
               "\n  remedy: " + terminal::OneLine(requirement.remedy) + "\n";
  }
  return FormatTable(rows) + lacking;
}

}  // namespace cryopod::ctl
