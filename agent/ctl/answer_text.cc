#include "agent/ctl/answer_text.h"

#include <nlohmann/json.hpp>

#include "agent/terminal/text.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

std::string PhaseTable(const std::vector<api::Phase>& phases) {
  if (phases.empty()) return "";
  Rows rows = {{"PHASE", "DURATION"}};
  for (const api::Phase& phase : phases)
    rows.push_back({phase.name, terminal::FormatMs(phase.duration_us)});
  return "\n" + terminal::FormatTable(rows, {1});
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
               {"size", terminal::FormatMib(summary.size_bytes)},
               {"containers", terminal::Join(summary.containers)}};
  if (!summary.damage.empty()) rows.push_back({"damaged", summary.damage});
  return rows;
}

std::string Text(const json& object, const char* key) {
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? value->get<std::string>() : "";
}

uint64_t Number(const json& object, const char* key) {
  const auto value = object.find(key);
  return value != object.end() && value->is_number_unsigned() ? value->get<uint64_t>() : 0;
}

// The objects of a list; nothing where there is no list.
std::vector<json> Objects(const json& object, const char* key) {
  std::vector<json> objects;
  const auto list = object.find(key);
  if (list == object.end() || !list->is_array()) return objects;
  for (const json& element : *list) {
    if (element.is_object()) objects.push_back(element);
  }
  return objects;
}

void AddExternalFiles(const json& checkpoint, Rows* rows) {
  for (const json& container : Objects(checkpoint, "containers")) {
    for (const json& file : Objects(container, "externalFiles")) {
      const std::string path = Text(file, "path");
      rows->push_back({"needs", "container " + Text(container, "name") + ": " +
                                    Text(file, "mountPoint") + (path.empty() ? "" : "/" + path)});
    }
  }
}

Rows NodeRows(const json& checkpoint) {
  const auto node = checkpoint.find("node");
  if (node == checkpoint.end() || !node->is_object()) return {};
  return {{"kernel", Text(*node, "kernel") + " " + Text(*node, "architecture") + ", cgroup " +
                         Text(*node, "cgroupVersion")},
          {"criu", Text(*node, "criuVersion")},
          {"runtime", Text(*node, "runtimeName") + " " + Text(*node, "runtimeVersion")}};
}

std::string ContainerTable(const json& checkpoint) {
  Rows rows = {{"CONTAINER", "IMAGE", "PROCESSES", "TASKS", "MEMORY", "FILES"}};
  for (const json& container : Objects(checkpoint, "containers")) {
    rows.push_back({Text(container, "name"), Text(container, "image"),
                    std::to_string(Number(container, "processes")),
                    std::to_string(Number(container, "tasks")),
                    terminal::FormatMib(Number(container, "imagesBytes")),
                    terminal::FormatMib(Number(container, "rootfsBytes"))});
  }
  return rows.size() > 1 ? "\n" + terminal::FormatTable(rows, {2, 3, 4, 5}) : "";
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

std::string OperationTable(const std::vector<api::Operation>& operations) {
  if (operations.empty()) return "";
  Rows rows = {{"OPERATION", "KIND", "POD", "BEGAN", "STATE"}};
  for (const api::Operation& operation : operations) {
    rows.push_back({operation.operation_id, operation.kind, operation.pod, operation.began,
                    StateOf(operation)});
  }
  return "\n" + terminal::FormatTable(rows);
}

}  // namespace

std::string ToText(const api::CheckpointResult& result) {
  Rows rows = {{"archive", result.archive},
               {"digest", result.digest},
               {"size", terminal::FormatMib(result.size_bytes) + " (" +
                            terminal::FormatMib(result.captured_bytes) + " captured)"},
               {"freeze", terminal::FormatMs(result.freeze_us)},
               {"source", result.source_stopped ? "stopped" : "runs on"}};
  AddRows("lacks", result.lacks, &rows);
  AddRows("needs", result.external_files, &rows);
  return terminal::FormatTable(rows) + PhaseTable(result.phases);
}

std::string ToText(const api::RestoreResult& result) {
  std::string text =
      terminal::FormatTable({{"sandbox", result.pod_sandbox_id}, {"outcome", result.outcome}});
  Rows rows = {{"CONTAINER", "ID", "PID"}};
  for (const api::RestoredContainer& container : result.containers) {
    rows.push_back({container.name, container.container_id, std::to_string(container.pid)});
  }
  text += "\n" + terminal::FormatTable(rows, {2});
  return text + PhaseTable(result.phases);
}

std::string ToText(const api::Listing& listing) {
  if (listing.archives.empty()) return "no archives\n" + OperationTable(listing.operations);
  Rows rows = {{"ARCHIVE", "POD", "CREATED", "SIZE", "CONTAINERS"}};
  for (const api::ArchiveSummary& archive : listing.archives) {
    if (!archive.damage.empty()) {
      rows.push_back({archive.name, "-", "-", "-", "damaged: " + archive.damage});
      continue;
    }
    rows.push_back({archive.name, archive.pod_namespace + "/" + archive.pod, archive.created,
                    terminal::FormatMib(archive.size_bytes), terminal::Join(archive.containers)});
  }
  return terminal::FormatTable(rows, {3}) + OperationTable(listing.operations);
}

std::string ToText(const api::Inspection& inspection) {
  Rows rows = SummaryRows(inspection.summary);
  const json checkpoint =
      json::parse(inspection.pod_checkpoint_json, nullptr, /*allow_exceptions=*/false);
  if (!checkpoint.is_object()) return terminal::FormatTable(rows);
  rows.push_back({"freeze", terminal::FormatMs(Number(checkpoint, "freezeUs"))});
  for (const auto& row : NodeRows(checkpoint)) rows.push_back(row);
  if (const auto lacks = checkpoint.find("lacks"); lacks != checkpoint.end()) {
    for (const json& lack : *lacks) {
      if (lack.is_string()) rows.push_back({"lacks", lack.get<std::string>()});
    }
  }
  AddExternalFiles(checkpoint, &rows);
  std::vector<api::Phase> phases;
  for (const json& phase : Objects(checkpoint, "phases")) {
    phases.push_back({Text(phase, "name"), Number(phase, "durationUs")});
  }
  return terminal::FormatTable(rows) + ContainerTable(checkpoint) + PhaseTable(phases);
}

std::string ToText(const api::Verification& verification) {
  return terminal::FormatTable(
      {{"digest", verification.digest},
       {"blobs", std::to_string(verification.blobs) + ", all as they were written"},
       {"size", terminal::FormatMib(verification.size_bytes)}});
}

std::string ToText(const api::ArchiveSummary& summary) {
  return terminal::FormatTable(SummaryRows(summary));
}

std::string ToText(const api::NodeInfo& node) {
  Rows rows = {{"agent", node.agent_version},
               {"criu", node.criu_version},
               {"runtime", node.runtime_name + " " + node.runtime_version},
               {"kernel", node.kernel + " " + node.architecture},
               {"cgroup", node.cgroup_version}};
  for (const std::string& problem : node.problems) rows.push_back({"problem", problem});
  if (node.problems.empty()) rows.push_back({"ready", "can checkpoint and restore"});
  return terminal::FormatTable(rows);
}

}  // namespace cryopod::ctl
