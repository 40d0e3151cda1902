#pragma once

#include <string>
#include <string_view>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"

namespace cryopod::criu {

// One `criu swrk` and our end of its SOCK_SEQPACKET pair.
struct Swrk {
  Subprocess process;
  UniqueFd socket;
};

// Own session, umask 077, an environment of PATH alone, no configuration file of the node's, stdin
// and stdout on /dev/null, stderr on `stderr_fd` or, when that is -1, on /dev/null too. `tools_dir`
// comes first in that PATH unless it is empty.
// Errors: kNotFound (no such program), those of Subprocess::Spawn.
Result<Swrk> SpawnSwrk(const std::string& criu_program, int stderr_fd = -1,
                       const std::string& tools_dir = "");

// Errors: kUnavailable (CRIU has ended), kResourceExhausted (larger than the socket takes).
Status SendMessage(const Swrk& swrk, std::string_view bytes);
// Errors: kUnavailable (CRIU ended without a word), kDeadlineExceeded, kResourceExhausted.
Result<std::string> ReceiveMessage(const Swrk& swrk, Deadline deadline);

}  // namespace cryopod::criu
