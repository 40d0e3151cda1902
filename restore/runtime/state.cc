#include <unistd.h>

#include "agent/json/value.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "restore/runtime/protocol/container_marks.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {
namespace {

using std::chrono::seconds;

constexpr seconds kStateTimeout{10};

bool IsFrozenByUs(const std::string& state_dir) {
  return IsHeld(state_dir) || ReadRestoredMark(state_dir).ok();
}

}  // namespace

int State(const Call& call) {
  if (!IsFrozenByUs(call.arguments.state_dir())) return PassThrough(call);
  SpawnOptions options;
  options.argv = {call.oci_runtime};
  options.argv.insert(options.argv.end(), call.arguments.all.begin(), call.arguments.all.end());
  options.inherit_environment = true;
  const Result<CommandOutput> output = RunCommand(options, Deadline::After(kStateTimeout));
  if (!output.ok() || !output->status.success()) return PassThrough(call);
  Result<json::Value> state = json::Parse(output->text);
  if (!state.ok() || state->At("status").Text() != "paused") return PassThrough(call);
  state->Make("status").value = std::string("running");
  const Status written = WriteAll(STDOUT_FILENO, json::Format(*state, 2) + "\n");
  return written.ok() ? 0 : Fail(call.arguments, written.message());
}

}  // namespace cryopod::wrapper
