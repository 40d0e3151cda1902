#include "agent/ctl/install/undo_change.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "agent/ctl/install/change_log.h"
#include "agent/ctl/install/containerd_config.h"
#include "agent/ctl/install/system_programs.h"
#include "agent/os/file.h"

namespace cryopod::ctl {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;

Status UndoDirectory(const Change& change, ChangeReport& report) {
  if (::rmdir(change.subject.c_str()) == 0) return Status();
  if (errno == ENOENT) return Status();
  if (errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY) {
    report.Warn("kept " + change.subject + ", which holds other files by now");
    return Status();
  }
  return ErrnoStatus(errno, "rmdir", change.subject);
}

Status UndoFile(const Change& change, ChangeReport& report) {
  const Result<std::string> content = ReadFile(change.subject, kFileBytesMax);
  if (content.status().code() == Code::kNotFound) return Status();
  if (content.ok() && *content == change.content) {
    if (::unlink(change.subject.c_str()) != 0) {
      return ErrnoStatus(errno, "unlink", change.subject);
    }
    report.Did("removed " + change.subject);
    return Status();
  }
  const std::string saved = change.subject + ".saved";
  if (::rename(change.subject.c_str(), saved.c_str()) != 0) {
    return ErrnoStatus(errno, "rename", change.subject);
  }
  report.Did("moved " + change.subject + ", which was changed since, to " + saved);
  return Status();
}

Status GiveBack(const Change& change, const std::string& before, ChangeReport& report) {
  if (change.created) {
    if (::unlink(change.subject.c_str()) != 0) {
      return ErrnoStatus(errno, "unlink", change.subject);
    }
    report.Did("removed " + change.subject + ", which did not exist before");
    return Status();
  }
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(change.subject, before).While("writing " + change.subject));
  report.Did("gave " + change.subject + " the content that it had");
  return Status();
}

Status UndoImport(const NodePaths& paths, const Change& change, ChangeReport& report) {
  const Result<std::string> now = ReadFile(change.subject, kContainerdConfigBytesMax);
  if (now.status().code() == Code::kNotFound) return Status();
  if (!now.ok()) return now.status();
  const std::string copies = paths.copies_dir();
  const Result<std::string> before =
      ReadFile(copies + "/containerd.toml.before", kContainerdConfigBytesMax);
  const Result<std::string> after =
      ReadFile(copies + "/containerd.toml.after", kContainerdConfigBytesMax);
  if (before.ok() && after.ok() && *after == *now) return GiveBack(change, *before, report);
  // Recorded and not made, or made and taken out by somebody.
  if (before.ok() && *before == *now) return Status();
  const Result<ContainerdConfig> original = ParseContainerdConfig(before.ok() ? *before : "");
  const bool drop_empty = original.ok() && original->imports.empty() && before.ok() &&
                          before->find("imports") == std::string::npos;
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           RemoveImport(*now, change.content, drop_empty).While(change.subject));
  if (text == *now) return Status();
  CRYOPOD_RETURN_IF_ERROR(ReplaceFile(change.subject, text).While("writing " + change.subject));
  report.Did("took the import out of " + change.subject + ", which was changed otherwise since");
  return Status();
}

Status UndoUser(const Change& change, ChangeReport& report) {
  CRYOPOD_ASSIGN_OR_RETURN(const bool there, HasEntry("passwd", change.subject));
  if (!there) return Status();
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"userdel", change.subject}));
  report.Did("removed the system user " + change.subject);
  return Status();
}

// userdel has taken the group along where it is the user's own.
Status UndoGroup(const Change& change, ChangeReport& report) {
  CRYOPOD_ASSIGN_OR_RETURN(const bool there, HasEntry("group", change.subject));
  if (!there) return Status();
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"groupdel", change.subject}));
  report.Did("removed the system group " + change.subject);
  return Status();
}

Status UndoUnit(const NodePaths& paths, const Change& change, ChangeReport& report) {
  if (!PathExists(paths.unit_dir + "/" + change.subject)) return Status();
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "disable", "--now", change.subject}));
  report.Did("stopped and disabled " + change.subject);
  return Status();
}

}  // namespace

Status UndoChange(const NodePaths& paths, const Change& change, ChangeReport& report) {
  switch (change.kind) {
    case ChangeKind::kDirectory:
      return UndoDirectory(change, report);
    case ChangeKind::kFile:
      return UndoFile(change, report);
    case ChangeKind::kImport:
      return UndoImport(paths, change, report);
    case ChangeKind::kUser:
      return UndoUser(change, report);
    case ChangeKind::kGroup:
      return UndoGroup(change, report);
    case ChangeKind::kUnit:
      return UndoUnit(paths, change, report);
  }
  return Status();
}

}  // namespace cryopod::ctl
