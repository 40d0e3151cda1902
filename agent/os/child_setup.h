#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/os/status.h"
#include "agent/os/subprocess.h"

namespace cryopod {

// What a child was doing when it could not become the program.
enum class ChildSetupStep : int {
  kCgroup,
  kDeathSignal,
  kSession,
  kDirectory,
  kDescriptors,
  kExec,
};
std::string_view ChildSetupStepName(ChildSetupStep step);

// Written to the report pipe as it stands; both sides are the same program.
struct ChildSetupFailure {
  ChildSetupStep step;
  int error_number;
};

// Where Spawn finds a program: a path as it is, a name in PATH. Errors: kNotFound.
Result<std::string> FindProgram(const std::string& name);

// Everything between fork and exec, prepared before the fork: the child of a program with several
// threads may only make async-signal-safe calls, so it neither allocates nor looks anything up.
class ChildSetup {
 public:
  // `options` is borrowed until the fork is over. Errors: kNotFound (no such program),
  // kInvalidArgument.
  static Result<ChildSetup> Prepare(const SpawnOptions& options);

  const std::string& program() const { return program_; }
  // In the child, with all signals blocked. A failure is written to `report_fd`; success closes it.
  [[noreturn]] void RunInChild(int report_fd);

 private:
  explicit ChildSetup(const SpawnOptions& options) : options_(options) {}
  void EnterCgroups();
  void TieToParent();
  void PlaceDescriptors();
  void ResetSignals();
  [[noreturn]] void Fail(ChildSetupStep step);

  const SpawnOptions& options_;
  std::string program_;
  std::vector<std::string> environment_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
  std::vector<std::pair<int, int>> moves_;  // {child number, our descriptor}; -1: /dev/null
  std::vector<int> copies_;                 // of our descriptors, above every child number
  int first_free_ = 3;
  pid_t parent_pid_ = -1;
  int report_fd_ = -1;
};

}  // namespace cryopod
