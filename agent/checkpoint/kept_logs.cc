#include "agent/checkpoint/kept_logs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::checkpoint {
namespace {

constexpr size_t kLogBytesMax = size_t{16} << 20;

void RemoveOldest(const std::string& logs_path) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(logs_path);
  if (!entries.ok() || entries->size() <= kKeptLogsMax) return;
  std::vector<std::pair<time_t, std::string>> by_age;
  for (const DirectoryEntry& entry : *entries) {
    struct stat status {};
    const std::string path = logs_path + "/" + entry.name;
    if (::stat(path.c_str(), &status) == 0) by_age.emplace_back(status.st_mtime, path);
  }
  std::sort(by_age.begin(), by_age.end());
  for (size_t i = 0; i + kKeptLogsMax < by_age.size(); ++i) (void)RemoveTree(by_age[i].second);
}

}  // namespace

void KeepLogs(const std::string& state_dir, const std::string& operation_id,
              const std::vector<PreparedDump>& dumps) {
  const std::string logs_path = state_dir + "/logs";
  const std::string path = logs_path + "/" + operation_id;
  if (!MakeDirectories(path, 0700).ok()) return;
  const Result<UniqueFd> directory = OpenDirectory(path);
  if (!directory.ok()) return;
  for (const PreparedDump& dump : dumps) {
    const Result<std::string> log = ReadFileAt(dump.work_dir.get(), "dump.log", kLogBytesMax);
    if (!log.ok()) continue;
    (void)WriteFileAtomically(directory->get(), dump.target->requested.name + ".dump.log", *log);
  }
  RemoveOldest(logs_path);
}

}  // namespace cryopod::checkpoint
