#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/os/subprocess.h"
#include "restore/runtime/protocol/messages.h"
#include "tests/fakes/fake_runtime_agent.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {

// The real program in an installed tree of its own, with a runtime below it that records how it was
// called, and room for a fake agent.
class WrapperFixture : public ::testing::Test {
 protected:
  void SetUp() override;

  // Runs the wrapper to its end. Its output is the fake runtime's stdout and stderr.
  CommandOutput Run(const std::vector<std::string>& arguments, const std::string& input = "");
  // `--root R --log L --log-format json` and the rest.
  std::vector<std::string> Arguments(const std::vector<std::string>& rest) const;
  // The exit code of a call with these.
  int Call(const std::vector<std::string>& rest) { return Run(Arguments(rest)).status.exit_code; }
  // Of `create` of the bundle as container c1.
  int Create(const std::vector<std::string>& more = {});

  void StartAgent(test::FakeRuntimeAgent::Conversation conversation);
  void StartAgent(const Answer& answer) { StartAgent(test::FakeRuntimeAgent::Always(answer)); }
  // One that has the container restored, notes the outcome and then says `verdict`.
  void StartRestoringAgent(const Answer& verdict);
  // Lines of runtime.conf that are added to the usual ones.
  void Configure(const std::string& more);
  // A bundle that asks for a restore; `container` empty: the sandbox.
  void WriteBundle(const std::string& container, const std::string& more_config = "");
  void Consume();
  void Hold(const std::string& processes = "");
  bool IsHeld() const { return std::filesystem::exists(state_dir() + "/cryopod.held"); }

  // Command lines of the fake runtime, one call a line.
  std::vector<std::string> RuntimeCalls() const;
  // The message of the last line of the log file.
  std::string LoggedError() const;
  // What the next calls of the fake runtime's `restore` do: exit code, and the PID they report.
  void SetRestore(int exit_code, const std::string& pid);

  std::string Path(const std::string& name) const { return (temp_.path() / name).string(); }
  std::string state_dir() const { return Path("root/c1"); }
  Plan MakePlan();

  test::TempDirectory temp_;
  std::unique_ptr<test::FakeRuntimeAgent> agent_;
  Result<Outcome> outcome_ = Status(Code::kUnknown, "none");
};

}  // namespace cryopod::wrapper
