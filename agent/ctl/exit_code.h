#pragma once

#include <string>

#include "agent/os/status.h"

namespace cryopod::ctl {

// What a script can tell apart. The numbers are part of cryopodctl's interface.
enum class ExitCode {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,
  kNameTaken = 4,
  kRefused = 5,
  kDamaged = 6,
  kUnreachable = 7,
  kNoSpace = 8,
  kBusy = 9,
  kDeadline = 10,
  kUnfitNode = 11,
  kCancelled = 12,
};

ExitCode ExitCodeFor(Code code);

// One line for each code, for --help.
std::string ExitCodeTable();

// What the caller can do about an error; empty where the message says all.
std::string Remedy(const Status& status);

}  // namespace cryopod::ctl
