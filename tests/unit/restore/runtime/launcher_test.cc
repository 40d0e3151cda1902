#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <filesystem>
#include <thread>

#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

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

  Result<Subprocess> Launch(std::vector<std::string> arguments, const std::string& namespace_flag,
                            const std::string& config) {
    SpawnOptions options;
    options.argv = {CRYOPOD_LAUNCHER_PROGRAM};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.environment = {"PATH=/usr/bin:/bin", "CRYOPOD_CRIU=" + Path("criu"),
                           "CRYOPOD_CRIU_CONFIG=" + config,
                           "CRYOPOD_CGROUP_NAMESPACE=" + namespace_flag,
                           "CRYOPOD_LAUNCHER_LOG=" + Path("launcher.log")};
    options.descriptors = {{3, criu_.get()}};
    return Subprocess::Spawn(options);
  }
  Result<Subprocess> Launch(const std::string& namespace_flag) {
    return Launch({"swrk", "3"}, namespace_flag, Path("criu.conf"));
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
};

TEST_F(LauncherTest, BecomesTheRealCriuWithItsOptionsFile) {
  Result<Subprocess> child = Launch("0");
  ASSERT_THAT(child, test::IsOk());
  SendRequest();
  ASSERT_TRUE(WaitForRecord());

  const std::string record = test::ReadText(Path("record"));

  EXPECT_THAT(record, HasSubstr(Path("criu") + " swrk 3\n"));
  EXPECT_THAT(record, HasSubstr("config " + Path("criu.conf") + "\n"));
  // By exec, not by fork: it is still the process that the runtime started.
  EXPECT_THAT(record, HasSubstr("\n" + std::to_string(child->pid()) + "\n"));
  EXPECT_THAT(record, HasSubstr(OurCgroupNamespace()));
  runtime_.Reset();
  criu_.Reset();
  Result<ExitStatus> exit = child->Wait(Deadline::After(seconds(5)));
  ASSERT_THAT(exit, test::IsOk());
  EXPECT_EQ(exit->exit_code, 7);
}

TEST_F(LauncherTest, WaitsForTheRequestBeforeItMakesTheCgroupNamespace) {
  Result<Subprocess> child = Launch("1");
  ASSERT_THAT(child, test::IsOk());
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_FALSE(fs::exists(Path("record")));
  EXPECT_THAT(ReadProcLink(child->pid(), "ns/cgroup"), test::IsOkAnd(OurCgroupNamespace()));

  SendRequest();

  ASSERT_TRUE(WaitForRecord());
  EXPECT_THAT(test::ReadText(Path("record")), ::testing::Not(HasSubstr(OurCgroupNamespace())));
  ASSERT_THAT(child->Kill(SIGKILL), test::IsOk());
  ASSERT_THAT(child->Wait(Deadline::After(seconds(5))), test::IsOk());
}

TEST_F(LauncherTest, ARuntimeThatIsGoneEndsIt) {
  Result<Subprocess> child = Launch("1");
  ASSERT_THAT(child, test::IsOk());

  runtime_.Reset();

  Result<ExitStatus> exit = child->Wait(Deadline::After(seconds(5)));
  ASSERT_THAT(exit, test::IsOk());
  EXPECT_EQ(exit->exit_code, 127);
  EXPECT_THAT(test::ReadText(Path("launcher.log")), HasSubstr("no request from the runtime"));
  EXPECT_FALSE(fs::exists(Path("record")));
}

TEST_F(LauncherTest, WithoutAReadableOptionsFileCriuIsNotStarted) {
  Result<Subprocess> child = Launch({"swrk", "3"}, "0", Path("absent.conf"));
  ASSERT_THAT(child, test::IsOk());
  SendRequest();

  Result<ExitStatus> exit = child->Wait(Deadline::After(seconds(5)));

  ASSERT_THAT(exit, test::IsOk());
  EXPECT_EQ(exit->exit_code, 127);
  EXPECT_THAT(test::ReadText(Path("launcher.log")), HasSubstr("absent.conf"));
  EXPECT_FALSE(fs::exists(Path("record")));
}

TEST_F(LauncherTest, OtherModesOfCriuNeedNoRequest) {
  Result<Subprocess> child = Launch({"--version"}, "1", Path("criu.conf"));
  ASSERT_THAT(child, test::IsOk());

  ASSERT_TRUE(WaitForRecord());

  EXPECT_THAT(test::ReadText(Path("record")), HasSubstr(" --version\n"));
  ASSERT_THAT(child->Kill(SIGKILL), test::IsOk());
  ASSERT_THAT(child->Wait(Deadline::After(seconds(5))), test::IsOk());
}

}  // namespace
}  // namespace cryopod::wrapper
