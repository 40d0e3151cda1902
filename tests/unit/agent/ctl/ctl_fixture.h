#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/ctl/commands.h"
#include "agent/os/unique_fd.h"
#include "tests/fakes/fake_agent_server.h"
#include "tests/support/read_text.h"
#include "tests/support/temp_directory.h"

namespace cryopod::test {

// cryopodctl against a fake agent, with files as its standard streams.
class CtlFixture : public testing::Test {
 protected:
  struct Outcome {
    int exit_code = -1;
    std::string out;
    std::string err;
  };

  // `input` is what standard input holds; `out_is` takes the place of standard output.
  Outcome RunCtl(std::vector<std::string> arguments, const std::string& input = "",
                 const std::string& out_is = "", bool out_is_terminal = false) {
    WriteText(temp_.path() / "in", input);
    const UniqueFd in(Open("in", O_RDONLY));
    const UniqueFd out(out_is.empty() ? Open("out", O_RDWR | O_CREAT | O_TRUNC)
                                      : ::open(out_is.c_str(), O_WRONLY | O_CLOEXEC));
    const UniqueFd err(Open("err", O_RDWR | O_CREAT | O_TRUNC));
    terminal::Console console;
    console.in = in.get();
    console.out = out.get();
    console.err = err.get();
    console.out_is_terminal = out_is_terminal;
    arguments.insert(arguments.begin(), {"--socket", socket_});
    const ctl::ExitCode exit_code = ctl::Run(arguments, console);
    return {static_cast<int>(exit_code), out_is.empty() ? ReadText(Path("out")) : "",
            ReadText(Path("err"))};
  }
  // The answer of a command that must end well, for programs.
  nlohmann::json JsonOf(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const Outcome outcome = RunCtl(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return nlohmann::json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
  }

  std::string Path(const std::string& name) const { return temp_.path() / name; }

  static api::ArchiveSummary Archive(const std::string& name) {
    api::ArchiveSummary summary;
    summary.name = name;
    summary.digest = "sha256:feed";
    summary.pod_namespace = "shop";
    summary.pod = "web";
    summary.pod_uid = "u-1";
    summary.created = "2026-11-24T22:00:00Z";
    summary.size_bytes = uint64_t{3} << 20;
    summary.containers = {"app", "db"};
    return summary;
  }

  // One of pod shop/db that runs, dumping.
  static api::Operation RunningOperation() {
    api::Operation operation;
    operation.operation_id = "op7";
    operation.kind = "restore";
    operation.pod = "shop/db";
    operation.archive = "db1";
    operation.began = "2026-11-24T22:00:00Z";
    operation.state = "running";
    operation.stage = "dump";
    operation.container = "db";
    operation.bytes_done = 3;
    operation.bytes_total = 4;
    return operation;
  }

  TempDirectory temp_;
  const std::string socket_ = temp_.path() / "agent.sock";
  FakeAgentServer server_{socket_};

 private:
  int Open(const char* name, int flags) const {
    return ::open(Path(name).c_str(), flags | O_CLOEXEC, 0600);
  }
};

}  // namespace cryopod::test
