#include "restore/runtime/protocol/once_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/key_values.h"

namespace cryopod::wrapper {
namespace {

constexpr std::pair<const char*, std::string OnceRecord::*> kFields[] = {
    {"archive", &OnceRecord::archive},
    {"pod_uid", &OnceRecord::pod_uid},
    {"pod_namespace", &OnceRecord::pod_namespace},
    {"pod_name", &OnceRecord::pod_name},
    {"restore_from", &OnceRecord::restore_from},
    {"restore_operation", &OnceRecord::restore_operation},
    {"operation_id", &OnceRecord::operation_id},
    {"time", &OnceRecord::time}};

std::string DirectoryOf(const std::string& state_dir) { return state_dir + "/once"; }

// "sha256:ab…" → "ab…"
Result<std::string> FileNameOf(const std::string& digest) {
  std::string name = digest.substr(digest.find(':') + 1);
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(name, "the digest of the archive"));
  return name;
}

bool IsSameRestore(const OnceRecord& one, const OnceRecord& other) {
  return one.pod_uid == other.pod_uid && one.restore_from == other.restore_from &&
         one.restore_operation == other.restore_operation;
}

Result<OnceRecord> Read(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kKeyValuesBytesMax));
  const Result<KeyValues> values = ParseKeyValues(text);
  if (!values.ok() || Get(*values, "pod_uid").empty()) {
    return Status(Code::kDataLoss,
                  "the record " + path +
                      " of an archive that is restored once is damaged: remove it to allow another "
                      "restore",
                  Reason::kInternal);
  }
  OnceRecord record;
  for (const auto& [key, field] : kFields) record.*field = Get(*values, key);
  return record;
}

}  // namespace

Status CheckOnce(const std::string& state_dir, const std::string& digest, const OnceRecord& asks) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string name, FileNameOf(digest));
  const std::string path = DirectoryOf(state_dir) + "/" + name;
  const Result<OnceRecord> record = Read(path);
  if (record.status().code() == Code::kNotFound) return Status();
  if (!record.ok()) return record.status();
  if (IsSameRestore(*record, asks)) return Status();
  return Status(Code::kFailedPrecondition,
                "AlreadyRestored: archive " + asks.archive +
                    " is restored at most once on this node, and pod " + record->pod_namespace +
                    "/" + record->pod_name + " with UID " + record->pod_uid +
                    " was restored from it at " + record->time + " (operation " +
                    record->operation_id + "); restore from another checkpoint, or remove " + path +
                    " to allow another restore",
                Reason::kAlreadyRestored);
}

Status ClaimOnce(const std::string& state_dir, const std::string& digest, OnceRecord claims) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string name, FileNameOf(digest));
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(claims.operation_id, "the operation's ID"));
  claims.time = NowText();
  KeyValues values;
  for (const auto& [key, field] : kFields) values[key] = claims.*field;
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, FormatKeyValues(values));
  const std::string directory = DirectoryOf(state_dir);
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(directory));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(directory));
  // Whole before it has its name, and the first one keeps that.
  const std::string mine = ".claim-" + claims.operation_id;
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(dir.get(), mine, text)
                              .While("recording that " + claims.archive + " was restored"));
  const bool linked = ::linkat(dir.get(), mine.c_str(), dir.get(), name.c_str(), 0) == 0;
  const int link_error = linked ? 0 : errno;
  static_cast<void>(::unlinkat(dir.get(), mine.c_str(), 0));
  if (!linked && link_error != EEXIST)
    return ErrnoStatus(link_error, "link", directory + "/" + name);
  CRYOPOD_RETURN_IF_ERROR(CheckOnce(state_dir, digest, claims));
  CRYOPOD_RETURN_IF_ERROR(Sync(dir.get(), directory));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd parent, OpenDirectory(state_dir));
  return Sync(parent.get(), state_dir);
}

}  // namespace cryopod::wrapper
