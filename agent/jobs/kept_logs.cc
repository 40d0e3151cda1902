#include "agent/jobs/kept_logs.h"

#include <fcntl.h>

#include "agent/jobs/job_file.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::jobs {
namespace {

// <parent>/app.work/dump.log → app.dump.log, <parent>/app-1/restore.log → app-1.restore.log
void AddLogs(const std::string& parent, std::vector<LogFile>& logs) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(parent);
  if (!entries.ok()) return;
  for (const DirectoryEntry& entry : *entries) {
    const std::string_view name(entry.name);
    const std::string stem(name.substr(0, name.find(".work")));
    for (const char* file : {"dump.log", "restore.log"}) {
      const std::string path = parent + "/" + entry.name + "/" + file;
      if (PathExists(path)) logs.push_back({stem + "." + file, path});
    }
  }
}

}  // namespace

std::vector<LogFile> FindLogs(const std::string& job_dir, const std::string& state_dir,
                              const std::string& operation_id) {
  std::vector<LogFile> logs;
  AddLogs(job_dir + "/" + kStagingDirectory, logs);
  AddLogs(state_dir + "/staging/" + operation_id, logs);
  AddLogs(job_dir + "/" + kAttemptsDirectory, logs);
  if (!logs.empty()) return logs;
  const std::string kept = state_dir + "/logs/" + operation_id;
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(kept);
  if (!entries.ok()) return logs;
  for (const DirectoryEntry& entry : *entries)
    logs.push_back({entry.name, kept + "/" + entry.name});
  return logs;
}

Result<std::string> ReadLog(const std::string& path) {
  return ReadTailAt(AT_FDCWD, path, kLogBytesMax);
}

void KeepLogs(const std::string& job_dir, const std::string& state_dir,
              const std::string& operation_id) {
  const std::string logs_path = state_dir + "/logs";
  const std::string path = logs_path + "/" + operation_id;
  const std::vector<LogFile> logs = FindLogs(job_dir, state_dir, operation_id);
  if (logs.empty() || !MakeDirectories(path, 0700).ok()) return;
  const Result<UniqueFd> directory = OpenDirectory(path);
  if (!directory.ok()) return;
  for (const LogFile& log : logs) {
    const Result<std::string> text = ReadLog(log.path);
    if (text.ok()) (void)WriteFileAtomically(directory->get(), log.name, *text);
  }
  RemoveOldest(logs_path, kKeptLogsMax);
}

}  // namespace cryopod::jobs
