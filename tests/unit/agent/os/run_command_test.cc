#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "agent/os/subprocess.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::IsOk;
using test::Soon;
using test::StatusIs;
using ::testing::HasSubstr;

SpawnOptions Shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  options.inherit_environment = true;
  return options;
}

TEST(RunCommandTest, ReturnsBothStreamsAndTheExitCode) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CommandOutput output,
                               RunCommand(Shell("echo out; echo err >&2; exit 3"), Soon()));

  EXPECT_EQ(output.text, "out\nerr\n");
  EXPECT_EQ(output.status.exit_code, 3);
}

TEST(RunCommandTest, KeepsAMebibyteAndTakesTheRestWithoutBlocking) {
  const SpawnOptions options = Shell("head -c 5000000 /dev/zero | tr '\\0' x; echo end >&2");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CommandOutput output, RunCommand(options, Soon()));

  EXPECT_EQ(output.text.size(), size_t{1} << 20);
  EXPECT_TRUE(output.status.success());
}

TEST(RunCommandTest, ReturnsAllOfWhatFits) {
  const SpawnOptions options = Shell("head -c 1000000 /dev/zero | tr '\\0' x; echo end");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CommandOutput output, RunCommand(options, Soon()));

  EXPECT_EQ(output.text, std::string(1'000'000, 'x') + "end\n");
}

TEST(RunCommandTest, KillsAProgramThatOutlivesTheDeadline) {
  const auto start = std::chrono::steady_clock::now();

  const Result<CommandOutput> output =
      RunCommand(Shell("echo started; exec sleep 60"), Deadline::After(milliseconds(200)));

  EXPECT_THAT(output, StatusIs(Code::kDeadlineExceeded, HasSubstr("/bin/sh")));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
}

TEST(RunCommandTest, DoesNotWaitForWhatTheProgramLeftBehind) {
  test::TempDirectory temp;
  const std::string pid_file = temp.path() / "pid";
  const auto start = std::chrono::steady_clock::now();

  // The one in the background holds the pipe open.
  const Result<CommandOutput> output =
      RunCommand(Shell("sleep 60 & echo $! > " + pid_file + "; echo done"), Soon());

  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
  ::kill(std::stoi(test::ReadText(pid_file)), SIGKILL);
  ASSERT_THAT(output, IsOk());
  EXPECT_EQ(output->text, "done\n");
}

TEST(RunCommandTest, TheProgramReadsNothing) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CommandOutput output,
                               RunCommand(Shell("cat; echo end"), Soon()));

  EXPECT_EQ(output.text, "end\n");
}

TEST(RunCommandTest, AStreamThatIsNamedGoesWhereItWasSent) {
  test::TempDirectory temp;
  const UniqueFd file(::open((temp.path() / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  SpawnOptions options = Shell("echo out; echo err >&2");
  options.descriptors = {{1, file.get()}};

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CommandOutput output, RunCommand(options, Soon()));

  EXPECT_EQ(output.text, "err\n");
  EXPECT_EQ(test::ReadText(temp.path() / "out"), "out\n");
}

TEST(RunCommandTest, AMissingProgramIsAnError) {
  SpawnOptions options;
  options.argv = {"/nowhere/program"};

  EXPECT_THAT(RunCommand(options, Soon()), StatusIs(Code::kNotFound));
  EXPECT_THAT(RunCommand(SpawnOptions(), Soon()), StatusIs(Code::kInvalidArgument));
}

}  // namespace
}  // namespace cryopod
