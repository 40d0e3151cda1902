#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

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

  // `input` is what standard input holds.
  Outcome RunCtl(std::vector<std::string> arguments, const std::string& input = "") {
    WriteText(temp_.path() / "in", input);
    const UniqueFd in(Open("in", O_RDONLY));
    const UniqueFd out(Open("out", O_RDWR | O_CREAT | O_TRUNC));
    const UniqueFd err(Open("err", O_RDWR | O_CREAT | O_TRUNC));
    terminal::Console console;
    console.in = in.get();
    console.out = out.get();
    console.err = err.get();
    arguments.insert(arguments.begin(), {"--socket", socket_});
    const ctl::ExitCode exit_code = ctl::Run(arguments, console);
    return {static_cast<int>(exit_code), ReadText(temp_.path() / "out"),
            ReadText(temp_.path() / "err")};
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
    return ::open((temp_.path() / name).c_str(), flags | O_CLOEXEC, 0600);
  }
};

}  // namespace cryopod::test
