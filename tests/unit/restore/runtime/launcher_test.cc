#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"

namespace cryopod::wrapper {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

// The launcher with a criu that records what it has become.
class LauncherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::WriteText(Path("criu"),
                    "#!/bin/sh\n{ echo \"$0 $*\"; echo \"config $CRIU_CONFIG_FILE\"; "
                    "echo \"hold $CRYOPOD_HOLD_CGROUP\"; "
                    "readlink /proc/self/ns/cgroup; echo $$; } >" +
                        Path("record.partial") + "\nmv " + Path("record.partial") + " " +
                        Path("record") + "\ncat <&3 >/dev/null\nexit 7\n");
    fs::permissions(Path("criu"), fs::perms::owner_all);
    test::WriteText(Path("criu.conf"), "leave-stopped\n");
    int fds[2] = {-1, -1};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    runtime_.Reset(fds[0]);
    criu_.Reset(fds[1]);
  }

  void Launch(const std::string& namespace_flag, std::vector<std::string> arguments = {"swrk", "3"},
              const std::string& config = "criu.conf", const std::string& hold_cgroup = "") {
    SpawnOptions options;
    options.argv = {CRYOPOD_LAUNCHER_PROGRAM};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.environment = {"PATH=/usr/bin:/bin", "CRYOPOD_CRIU=" + Path("criu"),
                           "CRYOPOD_CRIU_CONFIG=" + Path(config),
                           "CRYOPOD_CGROUP_NAMESPACE=" + namespace_flag,
                           "CRYOPOD_LAUNCHER_LOG=" + Path("launcher.log")};
    if (!hold_cgroup.empty()) {
      test::WriteText(Path("hold.conf"), "libdir /plugin\n");
      options.environment.push_back("CRYOPOD_HOLD_CONFIG=" + Path("hold.conf"));
      options.environment.push_back("CRYOPOD_HOLD_CGROUP=" + hold_cgroup);
    }
    options.descriptors = {{3, criu_.get()}};
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(options));
    child_.emplace(std::move(child));
  }
  int ExitCode() {
    const Result<ExitStatus> exit = child_->Wait(Deadline::After(seconds(5)));
    EXPECT_THAT(exit, test::IsOk());
    return exit.ok() ? exit->exit_code : -1;
  }
  void TearDown() override {
    if (child_ && child_->Kill(SIGKILL).ok()) ExitCode();
  }

  void SendRequest() { ASSERT_EQ(::send(runtime_.get(), "x", 1, 0), 1); }
  bool WaitForRecord() {
    for (int i = 0; i < 400 && !fs::exists(Path("record")); ++i) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    return fs::exists(Path("record"));
  }
  std::string Path(const std::string& name) const { return (temp_.path() / name).string(); }
  static std::string OurCgroupNamespace() {
    const Result<std::string> link = ReadProcLink(::getpid(), "ns/cgroup");
    return link.ok() ? *link : "";
  }

  test::TempDirectory temp_;
  UniqueFd runtime_;
  UniqueFd criu_;
  std::optional<Subprocess> child_;
};

TEST_F(LauncherTest, BecomesTheRealCriuWithItsOptionsFile) {
  Launch("0");
  SendRequest();
  ASSERT_TRUE(WaitForRecord());

  const std::string record = test::ReadText(Path("record"));

  EXPECT_THAT(record, HasSubstr(Path("criu") + " swrk 3\n"));
  EXPECT_THAT(record, HasSubstr("config " + Path("criu.conf") + "\n"));
  // By exec, not by fork: it is still the process that the runtime started.
  EXPECT_THAT(record, HasSubstr("\n" + std::to_string(child_->pid()) + "\n"));
  EXPECT_THAT(record, HasSubstr(OurCgroupNamespace()));
  runtime_.Reset();
  criu_.Reset();
  EXPECT_EQ(ExitCode(), 7);
}

TEST_F(LauncherTest, WaitsForTheRequestBeforeItMakesTheCgroupNamespace) {
  Launch("1");
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_FALSE(fs::exists(Path("record")));
  EXPECT_THAT(ReadProcLink(child_->pid(), "ns/cgroup"), test::IsOkAnd(OurCgroupNamespace()));

  SendRequest();

  ASSERT_TRUE(WaitForRecord());
  EXPECT_THAT(test::ReadText(Path("record")), ::testing::Not(HasSubstr(OurCgroupNamespace())));
}

TEST_F(LauncherTest, ARuntimeThatIsGoneEndsIt) {
  Launch("1");

  runtime_.Reset();

  EXPECT_EQ(ExitCode(), 127);
  EXPECT_THAT(test::ReadText(Path("launcher.log")), HasSubstr("no request from the runtime"));
  EXPECT_FALSE(fs::exists(Path("record")));
}

TEST_F(LauncherTest, WithoutAReadableOptionsFileCriuIsNotStarted) {
  Launch("0", {"swrk", "3"}, "absent.conf");
  SendRequest();

  EXPECT_EQ(ExitCode(), 127);

  EXPECT_THAT(test::ReadText(Path("launcher.log")), HasSubstr("absent.conf"));
  EXPECT_FALSE(fs::exists(Path("record")));
}

// As runc does between the start and the request.
void Enter(const std::string& cgroup, pid_t pid) {
  std::ofstream(cgroup + "/cgroup.procs") << pid << std::flush;
}

TEST_F(LauncherTest, InTheContainersCgroupCriuGetsThePlugin) {
  const test::TestCgroup leaf(CgroupVersion::kV2);
  ASSERT_TRUE(leaf.valid());
  Launch("0", {"swrk", "3"}, "criu.conf", leaf.path());
  Enter(leaf.path(), child_->pid());

  SendRequest();

  ASSERT_TRUE(WaitForRecord());
  const std::string record = test::ReadText(Path("record"));
  EXPECT_THAT(record, HasSubstr("config " + Path("hold.conf") + "\n"));
  EXPECT_THAT(record, HasSubstr("hold " + leaf.path() + "\n"));
  runtime_.Reset();
  criu_.Reset();
  EXPECT_EQ(ExitCode(), 7);
}

TEST_F(LauncherTest, OutsideOfItStopSignalsHoldWhatIsRestored) {
  const test::TestCgroup leaf(CgroupVersion::kV2);
  ASSERT_TRUE(leaf.valid());
  Launch("0", {"swrk", "3"}, "criu.conf", leaf.path());

  SendRequest();

  ASSERT_TRUE(WaitForRecord());
  const std::string record = test::ReadText(Path("record"));
  EXPECT_THAT(record, HasSubstr("config " + Path("criu.conf") + "\n"));
  EXPECT_THAT(record, HasSubstr("hold \n"));
}

TEST_F(LauncherTest, OtherModesOfCriuNeedNoRequest) {
  Launch("1", {"--version"});

  ASSERT_TRUE(WaitForRecord());

  EXPECT_THAT(test::ReadText(Path("record")), HasSubstr(" --version\n"));
}

}  // namespace
}  // namespace cryopod::wrapper
