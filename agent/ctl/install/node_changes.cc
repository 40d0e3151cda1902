#include "agent/ctl/install/node_changes.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>

#include "agent/ctl/install/containerd_config.h"
#include "agent/ctl/install/system_programs.h"
#include "agent/json/fields.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::ctl {
namespace {

constexpr uint32_t kFormat = 1;
constexpr size_t kRecordBytesMax = size_t{4} << 20;
// Contents of files are among its strings.
constexpr json::Limits kLimits{.bytes_max = kRecordBytesMax, .string_bytes_max = kRecordBytesMax};
// In the order of ChangeKind.
constexpr std::array<std::string_view, 6> kKinds = {"group", "user",   "directory",
                                                    "file",  "import", "unit"};

const char* NotEmpty(std::string_view text) { return text.empty() ? "is empty" : nullptr; }

constexpr size_t kFileBytesMax = size_t{1} << 20;
constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kFileMode = 0644;
constexpr mode_t kCopyMode = 0600;

struct Node {
  const NodePaths& paths;
  const Installation& installation;
  ChangeReport& report;
};

std::string ParentOf(const std::string& path) { return std::filesystem::path(path).parent_path(); }

std::filesystem::path BehindLinks(const std::string& path) {
  std::error_code absent;
  const std::filesystem::path target = std::filesystem::canonical(path, absent);
  return absent ? std::filesystem::path(path) : target;
}

// Replaces the content of a file, also behind a symbolic link, and keeps its mode and owner; one
// that is not there gets `mode`.
Status ReplaceFile(const std::string& path, const std::string& content, mode_t mode = kFileMode) {
  const std::filesystem::path file = BehindLinks(path);
  struct stat before {};
  const bool existed = ::stat(file.c_str(), &before) == 0;
  if (existed) mode = before.st_mode & 07777;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(file.parent_path()));
  CRYOPOD_RETURN_IF_ERROR(
      WriteFileAtomically(dir.get(), file.filename(), content, mode).While("writing " + path));
  if (existed && ::chown(file.c_str(), before.st_uid, before.st_gid) != 0) {
    return ErrnoStatus(errno, "chown", path);
  }
  // Past our umask, and past what chown takes away.
  return ::chmod(file.c_str(), mode) == 0 ? Status() : ErrnoStatus(errno, "chmod", path);
}

// What an installation that was killed while it wrote has left beside the file.
void DropPartial(const std::string& path) {
  ::unlink((BehindLinks(path).string() + ".partial").c_str());
}

Status Unlink(const std::string& path) {
  return ::unlink(path.c_str()) == 0 ? Status() : ErrnoStatus(errno, "unlink", path);
}

Result<bool> HasAccount(const Node&, const Change& change) {
  return HasEntry(change.kind == ChangeKind::kUser ? "passwd" : "group", change.subject);
}

Status MakeGroup(const Node& node, const Change& change) {
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"groupadd", "--system", change.subject}));
  node.report.Did("made the system group " + change.subject);
  return Status();
}

Status MakeUser(const Node& node, const Change& change) {
  CRYOPOD_RETURN_IF_ERROR(
      RunProgram({"useradd", "--system", "--gid", change.subject, "--no-create-home", "--home-dir",
                  "/nonexistent", "--shell", "/usr/sbin/nologin", change.subject}));
  node.report.Did("made the system user " + change.subject + ", as which cryopod-gateway runs");
  return Status();
}

// userdel takes the group along where it is the user's own.
Status UndoAccount(const Node& node, const Change& change) {
  CRYOPOD_ASSIGN_OR_RETURN(const bool there, HasAccount(node, change));
  if (!there) return Status();
  const bool is_user = change.kind == ChangeKind::kUser;
  CRYOPOD_RETURN_IF_ERROR(RunProgram({is_user ? "userdel" : "groupdel", change.subject}));
  node.report.Did((is_user ? "removed the system user " : "removed the system group ") +
                  change.subject);
  return Status();
}

Result<bool> HasDirectory(const Node&, const Change& change) { return PathExists(change.subject); }

// All may enter it, whatever our umask.
Status MakeDirectory(const Node&, const Change& change) {
  const char* const path = change.subject.c_str();
  if (::mkdir(path, kDirectoryMode) != 0) return ErrnoStatus(errno, "mkdir", path);
  return ::chmod(path, kDirectoryMode) == 0 ? Status() : ErrnoStatus(errno, "chmod", path);
}

Status UndoDirectory(const Node& node, const Change& change) {
  if (::rmdir(change.subject.c_str()) == 0 || errno == ENOENT) return Status();
  if (errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY) {
    return ErrnoStatus(errno, "rmdir", change.subject);
  }
  node.report.Warn("kept " + change.subject + ", which holds other files by now");
  return Status();
}

Result<bool> HasFile(const Node& node, const Change& change) {
  const Result<std::string> existing = ReadFile(change.subject, kFileBytesMax);
  if (existing.status().code() == Code::kNotFound) return false;
  if (!existing.ok()) return existing.status();
  if (*existing == change.content) return true;
  const Change* ours = node.installation.Find(ChangeKind::kFile, change.subject);
  if (ours != nullptr && ours->content == *existing) return false;
  return Status(Code::kAlreadyExists,
                change.subject +
                    (ours == nullptr ? " is there already, and no installation has written it"
                                     : " was changed by somebody else since") +
                    "; move it away and try again");
}

Status MakeFile(const Node& node, const Change& change) {
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(change.subject, change.content));
  node.report.Did("wrote " + change.subject);
  return Status();
}

Status UndoFile(const Node& node, const Change& change) {
  DropPartial(change.subject);
  const Result<std::string> content = ReadFile(change.subject, kFileBytesMax);
  if (content.status().code() == Code::kNotFound) return Status();
  if (content.ok() && *content == change.content) {
    CRYOPOD_RETURN_IF_ERROR(Unlink(change.subject));
    node.report.Did("removed " + change.subject);
    return Status();
  }
  const std::string saved = change.subject + ".saved";
  if (::rename(change.subject.c_str(), saved.c_str()) != 0) {
    return ErrnoStatus(errno, "rename", change.subject);
  }
  node.report.Did("moved " + change.subject + ", which was changed since, to " + saved);
  return Status();
}

Result<bool> HasImport(const Node&, const Change& change) {
  if (change.created) return false;
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(change.subject, kContainerdConfigBytesMax));
  return Imports(text, change.subject, change.content).While(change.subject);
}

Status MakeImport(const Node& node, const Change& change) {
  std::string before;
  if (!change.created) {
    CRYOPOD_ASSIGN_OR_RETURN(before, ReadFile(change.subject, kContainerdConfigBytesMax));
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::string after,
                           AddImport(before, change.content).While(change.subject));
  const NodePaths& paths = node.paths;
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(paths.copies_dir(), 0700));
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(paths.copy_before(), before, kCopyMode));
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(paths.copy_after(), after, kCopyMode));
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(change.subject, after));
  node.report.Did(change.created
                      ? "wrote " + change.subject + ", which imports it"
                      : "added it to what " + change.subject +
                            " imports; a copy of the file as it was is " + paths.copy_before());
  return Status();
}

Status UndoImport(const Node& node, const Change& change) {
  DropPartial(change.subject);
  const std::string& config = change.subject;
  const Result<std::string> now = ReadFile(config, kContainerdConfigBytesMax);
  if (now.status().code() == Code::kNotFound) return Status();
  if (!now.ok()) return now.status();
  const Result<std::string> before = ReadFile(node.paths.copy_before(), kContainerdConfigBytesMax);
  const Result<std::string> after = ReadFile(node.paths.copy_after(), kContainerdConfigBytesMax);
  // Recorded and not made, or made and taken out by somebody.
  if (before.ok() && *before == *now) return Status();
  if (before.ok() && after.ok() && *after == *now) {
    CRYOPOD_RETURN_IF_ERROR(change.created ? Unlink(config) : ReplaceFile(config, *before));
    node.report.Did(change.created ? "removed " + config + ", which did not exist before"
                                   : "gave " + config + " the content that it had");
    return Status();
  }
  const bool statement_is_ours = before.ok() && before->find("imports") == std::string::npos;
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           RemoveImport(*now, change.content, statement_is_ours).While(config));
  if (text == *now) return Status();
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(config, text));
  node.report.Did("took the import out of " + config + ", which was changed otherwise since");
  return Status();
}

Result<bool> HasUnit(const Node& node, const Change& change) {
  return node.installation.Find(ChangeKind::kUnit, change.subject) != nullptr;
}

Status MakeUnit(const Node& node, const Change& change) {
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "enable", change.subject}));
  // Operations go on without an agent, so that starting it anew costs nobody anything.
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "restart", change.subject}));
  node.report.Did("enabled and started " + change.subject);
  return Status();
}

Status UndoUnit(const Node& node, const Change& change) {
  // One that was recorded and never written is none that systemd knows.
  if (!PathExists(node.paths.unit_dir + "/" + change.subject)) return Status();
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "disable", "--now", change.subject}));
  node.report.Did("stopped and disabled " + change.subject);
  return Status();
}

struct Row {
  Result<bool> (*is_made)(const Node& node, const Change& change);
  Status (*make)(const Node& node, const Change& change);
  Status (*undo)(const Node& node, const Change& change);
  bool has_parent;  // `subject` is a path, and its folder a change of its own
};

// In the order of ChangeKind.
constexpr std::array<Row, 6> kRows = {{{HasAccount, MakeGroup, UndoAccount, false},
                                       {HasAccount, MakeUser, UndoAccount, false},
                                       {HasDirectory, MakeDirectory, UndoDirectory, true},
                                       {HasFile, MakeFile, UndoFile, true},
                                       {HasImport, MakeImport, UndoImport, true},
                                       {HasUnit, MakeUnit, UndoUnit, false}}};

const Row& RowOf(const Change& change) { return kRows.at(static_cast<size_t>(change.kind)); }

}  // namespace

void Describe(json::Fields& fields, Change& change) {
  fields.Named("kind", change.kind, kKinds);
  fields.Required("subject", change.subject, NotEmpty);
  fields.Optional("content", change.content);
  fields.Optional("created", change.created);
}

void Describe(json::Fields& fields, Installation& installation) {
  uint32_t format = kFormat;
  fields.Required("format", format);
  if (format != kFormat) fields.Fail("format", "not 1");
  fields.Optional("version", installation.version);
  fields.Optional("prefix", installation.prefix);
  fields.Required("changes", installation.changes);
}

const Change* Installation::Find(ChangeKind kind, const std::string& subject) const {
  const auto found = std::ranges::find_if(changes, [&](const Change& change) {
    return change.kind == kind && change.subject == subject;
  });
  return found == changes.end() ? nullptr : &*found;
}

bool Installation::Has(ChangeKind kind) const {
  return std::ranges::find(changes, kind, &Change::kind) != changes.end();
}

Result<std::optional<Installation>> ReadInstallation(const std::string& path) {
  const Result<std::string> text = ReadFile(path, kRecordBytesMax);
  if (text.status().code() == Code::kNotFound) return std::optional<Installation>();
  if (!text.ok()) return text.status();
  Installation installation;
  CRYOPOD_RETURN_IF_ERROR(json::Read(*text, path, installation, kLimits)
                              .While("reading the record of the installation"));
  return std::optional<Installation>(std::move(installation));
}

Status WriteInstallation(const std::string& path, const Installation& installation) {
  const std::filesystem::path file(path);
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(file.parent_path()));
  return WriteFileAtomically(dir.get(), file.filename(), json::Write(installation, 2) + "\n");
}

Result<NodeChanges> NodeChanges::Open(const NodePaths& paths, ChangeReport& report) {
  CRYOPOD_ASSIGN_OR_RETURN(std::optional<Installation> installation,
                           ReadInstallation(paths.record_file()));
  NodeChanges changes(paths, report);
  changes.recorded_ = installation.has_value();
  if (installation) changes.installation_ = *std::move(installation);
  return changes;
}

// In place of what was recorded of the same kind and subject.
Status NodeChanges::Record(const Change& change) {
  std::erase_if(installation_.changes, [&change](const Change& other) {
    return other.kind == change.kind && other.subject == change.subject;
  });
  installation_.changes.push_back(change);
  installation_.version = CRYOPOD_VERSION;
  installation_.prefix = paths_.prefix;
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(paths_.record_dir, 0700));
  CRYOPOD_RETURN_IF_ERROR(WriteInstallation(paths_.record_file(), installation_));
  recorded_ = true;
  return Status();
}

Result<bool> NodeChanges::Make(Change change, bool again) {
  const Row& row = RowOf(change);
  const Node node{paths_, installation_, report_};
  change.created = row.has_parent && !PathExists(change.subject);
  CRYOPOD_ASSIGN_OR_RETURN(const bool made, row.is_made(node, change));
  if (made && !again) return false;
  const std::string parent = ParentOf(change.subject);
  if (row.has_parent && parent != change.subject) {
    CRYOPOD_RETURN_IF_ERROR(Make({ChangeKind::kDirectory, parent}).status());
  }
  CRYOPOD_RETURN_IF_ERROR(Record(change));
  CRYOPOD_RETURN_IF_ERROR(row.make(node, change));
  return true;
}

Status NodeChanges::UndoAll() {
  if (!recorded_) return Status();
  const bool had_units = installation_.Has(ChangeKind::kUnit);
  while (!installation_.changes.empty()) {
    const Change& last = installation_.changes.back();
    CRYOPOD_RETURN_IF_ERROR(RowOf(last).undo({paths_, installation_, report_}, last));
    installation_.changes.pop_back();
    CRYOPOD_RETURN_IF_ERROR(WriteInstallation(paths_.record_file(), installation_));
  }
  if (had_units) CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "daemon-reload"}));
  CRYOPOD_RETURN_IF_ERROR(RemoveTree(paths_.copies_dir()));
  CRYOPOD_RETURN_IF_ERROR(RemoveTree(paths_.record_file()));
  ::rmdir(paths_.record_dir.c_str());  // unless it holds more
  recorded_ = false;
  return Status();
}

}  // namespace cryopod::ctl
