#include "agent/criu/plugin/plugin_contract.h"

#include "agent/os/text.h"

namespace cryopod::criu {

std::string FormatLocks(const std::vector<RecordLock>& locks) {
  std::string text;
  for (const RecordLock& lock : locks) {
    text += std::to_string(lock.pid) + " " + std::to_string(lock.fd) +
            (lock.exclusive ? " write " : " read ") + std::to_string(lock.start) + " " +
            std::to_string(lock.length) + "\n";
  }
  return text;
}

Result<std::vector<RecordLock>> ParseLocks(std::string_view text) {
  std::vector<RecordLock> locks;
  for (const std::string_view line : SplitLines(text)) {
    const std::vector<std::string_view> words = SplitWords(line);
    RecordLock lock;
    if (words.size() != 5 || (words[2] != "write" && words[2] != "read") ||
        !ParseNumber(words[0], lock.pid) || !ParseNumber(words[1], lock.fd) ||
        !ParseNumber(words[3], lock.start) || !ParseNumber(words[4], lock.length)) {
      return Status(Code::kDataLoss, "no record lock: " + std::string(line));
    }
    lock.exclusive = words[2] == "write";
    locks.push_back(lock);
  }
  return locks;
}

}  // namespace cryopod::criu
