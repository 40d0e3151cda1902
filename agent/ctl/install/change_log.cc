#include "agent/ctl/install/change_log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "agent/ctl/install/containerd_config.h"
#include "agent/ctl/install/system_programs.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

#ifndef CRYOPOD_VERSION
#define CRYOPOD_VERSION "unknown"
#endif

namespace cryopod::ctl {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;
// To read a file by its name while others change it is a race that the next run finds.
constexpr mode_t kDirectoryMode = 0755;

// Makes a directory on the way to a file as all may enter it, whatever our umask.
Status MakeOpenDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), kDirectoryMode) != 0) return ErrnoStatus(errno, "mkdir", path);
  if (::chmod(path.c_str(), kDirectoryMode) != 0) return ErrnoStatus(errno, "chmod", path);
  return Status();
}

}  // namespace

Status ReplaceFile(const std::string& path, const std::string& content, mode_t mode) {
  std::error_code absent;
  const std::filesystem::path target = std::filesystem::canonical(path, absent);
  const std::filesystem::path file = absent ? std::filesystem::path(path) : target;
  struct stat before {};
  const bool existed = ::stat(file.c_str(), &before) == 0;
  if (existed) mode = before.st_mode & 07777;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(file.parent_path()));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(dir.get(), file.filename(), content, mode));
  if (existed && ::chown(file.c_str(), before.st_uid, before.st_gid) != 0) {
    return ErrnoStatus(errno, "chown", path);
  }
  // Past our umask, and past what chown takes away.
  return ::chmod(file.c_str(), mode) == 0 ? Status() : ErrnoStatus(errno, "chmod", path);
}

Result<ChangeLog> ChangeLog::Open(const NodePaths& paths, ChangeReport& report) {
  CRYOPOD_ASSIGN_OR_RETURN(std::optional<Installation> installation,
                           ReadInstallation(paths.record_file()));
  ChangeLog log(paths, report, std::move(installation).value_or(Installation()));
  log.installation_.version = CRYOPOD_VERSION;
  log.installation_.prefix = paths.prefix;
  return log;
}

Status ChangeLog::Record(const Change& change) {
  std::erase_if(installation_.changes, [&change](const Change& other) {
    return other.kind == change.kind && other.subject == change.subject;
  });
  installation_.changes.push_back(change);
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(paths_.state_dir, 0700));
  return WriteInstallation(paths_.record_file(), installation_);
}

Status ChangeLog::MakeDirectory(const std::string& path) {
  if (PathExists(path)) return Status();
  const std::string parent = std::filesystem::path(path).parent_path();
  if (parent != path) CRYOPOD_RETURN_IF_ERROR(MakeDirectory(parent));
  CRYOPOD_RETURN_IF_ERROR(Record({ChangeKind::kDirectory, path, "", false}));
  return MakeOpenDirectory(path);
}

Result<bool> ChangeLog::WriteFile(const std::string& path, const std::string& content) {
  const Result<std::string> existing = ReadFile(path, kFileBytesMax);
  const Change* ours = installation_.Find(ChangeKind::kFile, path);
  if (existing.ok() && *existing == content) return false;
  if (existing.ok() && (ours == nullptr || ours->content != *existing)) {
    return Status(Code::kAlreadyExists,
                  path +
                      (ours == nullptr ? " is there already, and no installation has written it"
                                       : " was changed by somebody else since") +
                      "; move it away and try again");
  }
  if (!existing.ok() && existing.status().code() != Code::kNotFound) return existing.status();
  CRYOPOD_RETURN_IF_ERROR(MakeDirectory(std::filesystem::path(path).parent_path()));
  CRYOPOD_RETURN_IF_ERROR(Record({ChangeKind::kFile, path, content, false}));
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(path, content).While("writing " + path));
  report_.Did("wrote " + path);
  return true;
}

Result<bool> ChangeLog::Import(const std::string& config, const std::string& drop_in) {
  Result<std::string> before = ReadFile(config, kContainerdConfigBytesMax);
  const bool created = before.status().code() == Code::kNotFound;
  if (!before.ok() && !created) return before.status();
  const std::string text = created ? "" : *before;
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig parsed,
                           ParseContainerdConfig(text).While(config));
  for (const std::string& import : parsed.imports) {
    if (ImportNames(import, config, drop_in)) return false;
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::string after, AddImport(text, drop_in).While(config));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(paths_.copies_dir(), 0700));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd copies, OpenDirectory(paths_.copies_dir()));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(copies.get(), "containerd.toml.before", text));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(copies.get(), "containerd.toml.after", after));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectory(std::filesystem::path(config).parent_path()));
  CRYOPOD_RETURN_IF_ERROR(Record({ChangeKind::kImport, config, drop_in, created}));
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(config, after).While("writing " + config));
  report_.Did(created
                  ? "wrote " + config + ", which imports it"
                  : "added it to what " + config + " imports; a copy of the file as it was is " +
                        paths_.copies_dir() + "/containerd.toml.before");
  return true;
}

Status ChangeLog::MakeSystemUser(const std::string& name) {
  CRYOPOD_ASSIGN_OR_RETURN(const bool has_group, HasEntry("group", name));
  if (!has_group) {
    CRYOPOD_RETURN_IF_ERROR(Record({ChangeKind::kGroup, name, "", false}));
    CRYOPOD_RETURN_IF_ERROR(RunProgram({"groupadd", "--system", name}));
    report_.Did("made the system group " + name);
  }
  CRYOPOD_ASSIGN_OR_RETURN(const bool has_user, HasEntry("passwd", name));
  if (has_user) return Status();
  CRYOPOD_RETURN_IF_ERROR(Record({ChangeKind::kUser, name, "", false}));
  CRYOPOD_RETURN_IF_ERROR(
      RunProgram({"useradd", "--system", "--gid", name, "--no-create-home", "--home-dir",
                  "/nonexistent", "--shell", "/usr/sbin/nologin", name}));
  report_.Did("made the system user " + name + ", as which cryopod-gateway runs");
  return Status();
}

Status ChangeLog::EnableUnit(const std::string& unit, bool changed) {
  const bool was_enabled = installation_.Find(ChangeKind::kUnit, unit) != nullptr;
  if (was_enabled && !changed) return Status();
  CRYOPOD_RETURN_IF_ERROR(Record({ChangeKind::kUnit, unit, "", false}));
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "enable", unit}));
  // Operations go on without an agent, so that starting it anew costs nobody anything.
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "restart", unit}));
  report_.Did("enabled and started " + unit);
  return Status();
}

}  // namespace cryopod::ctl
