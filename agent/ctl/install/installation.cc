#include "agent/ctl/install/installation.h"

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "agent/os/file.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;

constexpr size_t kRecordBytesMax = size_t{4} << 20;
constexpr int kFormat = 1;
// In the order of ChangeKind.
constexpr std::array<std::string_view, 6> kKinds = {"group", "user",   "directory",
                                                    "file",  "import", "unit"};

std::optional<ChangeKind> KindOf(const std::string& name) {
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i] == name) return static_cast<ChangeKind>(i);
  }
  return std::nullopt;
}

json ToJson(const Change& change) {
  return {{"kind", kKinds.at(static_cast<size_t>(change.kind))},
          {"subject", change.subject},
          {"content", change.content},
          {"created", change.created}};
}

// The text of a field; empty when it is absent or no text.
std::string Text(const json& object, const char* name) {
  const auto field = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && field != object.end() && field->is_string()
             ? field->get<std::string>()
             : "";
}

std::optional<Change> ChangeOf(const json& object) {
  const std::optional<ChangeKind> kind = KindOf(Text(object, "kind"));
  Change change{kind.value_or(ChangeKind::kFile), Text(object, "subject"), Text(object, "content"),
                object.is_object() && object.value("created", json()) == json(true)};
  if (!kind || change.subject.empty()) return std::nullopt;
  return change;
}

}  // namespace

const Change* Installation::Find(ChangeKind kind, const std::string& subject) const {
  for (const Change& change : changes) {
    if (change.kind == kind && change.subject == subject) return &change;
  }
  return nullptr;
}

Result<std::optional<Installation>> ReadInstallation(const std::string& path) {
  const Result<std::string> text = ReadFile(path, kRecordBytesMax);
  if (text.status().code() == Code::kNotFound) return std::optional<Installation>();
  if (!text.ok()) return text.status();
  const json record = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const Status damaged(Code::kDataLoss, path + " is no record of an installation");
  if (!record.is_object() || record.value("format", json()) != json(kFormat) ||
      !record.contains("changes") || !record["changes"].is_array()) {
    return damaged;
  }
  Installation installation{Text(record, "version"), Text(record, "prefix"), {}};
  for (const json& entry : record["changes"]) {
    std::optional<Change> change = ChangeOf(entry);
    if (!change) return damaged;
    installation.changes.push_back(*std::move(change));
  }
  return std::optional<Installation>(std::move(installation));
}

Status WriteInstallation(const std::string& path, const Installation& installation) {
  json changes = json::array();
  for (const Change& change : installation.changes) changes.push_back(ToJson(change));
  const json record = {{"format", kFormat},
                       {"version", installation.version},
                       {"prefix", installation.prefix},
                       {"changes", std::move(changes)}};
  const std::filesystem::path file(path);
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(file.parent_path()));
  return WriteFileAtomically(dir.get(), file.filename(),
                             record.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace cryopod::ctl
