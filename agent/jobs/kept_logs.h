#pragma once

#include <string>
#include <vector>

#include "agent/os/status.h"

// Logs of failed operations: <state dir>/logs/<operation id>/<name>. What cannot be kept is left
// out: it is the trace of a failure that has been reported already.
namespace cryopod::jobs {

// Operations whose logs are kept; older ones are removed.
inline constexpr size_t kKeptLogsMax = 20;
inline constexpr size_t kLogBytesMax = size_t{16} << 20;

struct LogFile {
  std::string name;  // "app.dump.log"
  std::string path;
};
// What CRIU writes for the containers of a job that has not been removed yet, else what was kept.
std::vector<LogFile> FindLogs(const std::string& job_dir, const std::string& state_dir,
                              const std::string& operation_id);
// The end of it, when it is longer than kLogBytesMax.
Result<std::string> ReadLog(const std::string& path);

// Before the job is removed.
void KeepLogs(const std::string& job_dir, const std::string& state_dir,
              const std::string& operation_id);

}  // namespace cryopod::jobs
