#pragma once

#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>

namespace cryopod {

// The nice value of what somebody stands still for: a busy node would make that last several times
// as long. Without the right to it everything goes on as it was.
inline constexpr int kFirstInLine = -20;

inline void PutFirstInLine(pid_t thread) {
  static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), kFirstInLine));
}

// This thread is, as long as this lives, and those are that it starts meanwhile.
class FirstInLine {
 public:
  FirstInLine() {
    errno = 0;
    before_ = ::getpriority(PRIO_PROCESS, 0);
    if (errno == 0) PutFirstInLine(0);
  }
  FirstInLine(const FirstInLine&) = delete;
  FirstInLine& operator=(const FirstInLine&) = delete;
  ~FirstInLine() { static_cast<void>(::setpriority(PRIO_PROCESS, 0, before_)); }

 private:
  int before_ = 0;
};

}  // namespace cryopod
