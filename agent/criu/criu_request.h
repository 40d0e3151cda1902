#pragma once

#include <string>
#include <string_view>

#include "agent/criu/dump_options.h"
#include "agent/os/status.h"

namespace cryopod::criu {

// The requests and answers of `criu swrk`, as the bytes of one SOCK_SEQPACKET message each.
// Source: CRIU images/rpc.proto, criu/cr-service.c.

inline constexpr char kDumpLogName[] = "dump.log";

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
  int error_number = 0;       // cr_errno: 0 when CRIU names none
  std::string error_message;  // the first error of the log
  bool has_version = false;
  int version_major = 0;
  int version_minor = 0;
  int version_sublevel = 0;
};
// Errors: kDataLoss (no criu_resp).
Result<Answer> ParseAnswer(std::string_view message);

}  // namespace cryopod::criu
