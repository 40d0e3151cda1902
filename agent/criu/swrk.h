#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/criu/dump_options.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"

// `criu swrk` and what is said with it, one SOCK_SEQPACKET message each.
// Source: CRIU images/rpc.proto, criu/cr-service.c.
namespace cryopod::criu {

inline constexpr char kDumpLogName[] = "dump.log";

struct Version {
  int major = 0;
  int minor = 0;
  int sublevel = 0;
  std::string text() const;  // "4.2.1"
};

// The descriptor numbers are *ours*: CRIU opens /proc/<PID that made the socket pair>/fd/<number>.
// `freeze_timeout_s` bounds how long CRIU tries to stop the tasks before it gives up by itself.
std::string DumpRequest(const DumpOptions& options, int images_dir_fd, int work_dir_fd,
                        uint32_t freeze_timeout_s);
// The word with which CRIU goes on after it has said where it is.
std::string GoOnRequest();
std::string VersionRequest();
// For both, CRIU's complaints go to its stderr.
std::string FeatureRequest();
std::string CheckRequest();

struct Answer {
  bool success = false;
  // Not empty: no answer yet, CRIU is at this point ("pre-dump", "post-dump" …) and waits.
  std::string asks_to_go_on;
  std::string error_message;  // the first error of the log
  std::optional<Version> version;
};
// Errors: kDataLoss (no criu_resp).
Result<Answer> ParseAnswer(std::string_view message);

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
Status Send(const Swrk& swrk, std::string_view request);
// Errors: kUnavailable (CRIU ended without a word), kDeadlineExceeded, kResourceExhausted, those of
// ParseAnswer.
Result<Answer> Receive(const Swrk& swrk, Deadline deadline);

}  // namespace cryopod::criu
