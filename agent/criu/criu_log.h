#pragma once

#include <string_view>

#include "agent/os/status.h"

namespace cryopod::criu {

// Why CRIU failed to dump or to restore, out of its log: the first "Error (" line that says more
// than its followers, mapped to a code and, where the pattern is known, to a reason and a sentence
// for people with a remedy (io_uring, user namespace, unknown mount, external unix socket,
// established TCP, inotify without path, rlimit without CAP_SYS_RESOURCE, PID taken, disk full, …).
// An unknown log is kUnknown (Reason::kCriuFailed) with that line; a log without any error is OK.
// The log is a stranger's text: at most 4 MiB of it are looked at, the answer is escaped and cut to
// 1,024 bytes.
Status ReasonFromLog(std::string_view log);

}  // namespace cryopod::criu
