// The real program, spoken to as the agent and the wrapper do.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <filesystem>
#include <thread>

#include "agent/jobs/job_file.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/mount.h"
#include "agent/os/unix_socket.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/restore_fixture.h"

namespace cryopod::restore {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Soon;
using wrapper::Answer;
using Decision = wrapper::Answer::Decision;

class RestoreServerTest : public RestoreFixture {
 protected:
  void StartProgram() {
    WriteRequestFile();
    SpawnOptions options;
    options.argv = {CRYOPOD_RESTORE_PROGRAM, "--job", job_dir()};
    options.death_signal = SIGKILL;
    Result<Subprocess> program = Subprocess::Spawn(options);
    ASSERT_THAT(program, test::IsOk());
    program_.emplace(std::move(*program));
    for (int i = 0; i < 400 && !control_.valid(); ++i) {
      Result<UniqueFd> control = ConnectUnix(job_dir() + "/control.sock", Soon());
      if (control.ok()) control_ = std::move(*control);
      std::this_thread::sleep_for(milliseconds(5));
    }
    ASSERT_TRUE(control_.valid());
  }
  void TearDown() override {
    if (program_.has_value() && program_->Kill(SIGKILL).ok()) {
      static_cast<void>(program_->Wait(Soon()).ok());
    }
    RestoreFixture::TearDown();
  }

  // What the agent does with a wrapper's connection: the wrapper's side of it comes back.
  UniqueFd HandOver(const std::string& request) {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    UniqueFd wrapper(fds[0]);
    const UniqueFd theirs(fds[1]);
    EXPECT_THAT(SendFrame(control_.get(), request, Soon(), {theirs.get()}), test::IsOk());
    return wrapper;
  }
  UniqueFd HandOver(const wrapper::Request& request) {
    return HandOver(wrapper::Serialize(request));
  }
  Answer Ask(const wrapper::Request& request) { return AnswerOn(HandOver(request)); }
  static Answer AnswerOn(const UniqueFd& wrapper) {
    Result<Answer> answer = wrapper::ReceiveAnswer(wrapper.get(), Soon());
    EXPECT_THAT(answer, test::IsOk());
    return answer.ok() ? *answer : Answer();
  }
  // A whole `create` and its restore.
  pid_t Restore(const wrapper::Request& request) {
    const UniqueFd wrapper = HandOver(request);
    EXPECT_EQ(AnswerOn(wrapper).decision, Decision::kRestore);
    const wrapper::Outcome outcome = RestoreProcess(request);
    EXPECT_THAT(wrapper::Send(wrapper.get(), outcome, Soon()), test::IsOk());
    EXPECT_EQ(AnswerOn(wrapper), Answer::Pass());
    return static_cast<pid_t>(outcome.pid);
  }
  static bool RunsSoon(pid_t pid) {
    const Deadline deadline = Soon();
    while (IsStopped(pid) && !deadline.expired()) std::this_thread::sleep_for(milliseconds(5));
    return !IsStopped(pid);
  }
  int WaitForExit() {
    const Result<ExitStatus> exit = program_->Wait(Soon());
    program_.reset();
    EXPECT_THAT(exit, test::IsOk());
    return exit.ok() ? exit->exit_code : -1;
  }
  jobs::Stage SavedStage() const {
    const auto report = jobs::ReadFileOf<jobs::Report>(job_dir(), jobs::kStateFile);
    EXPECT_THAT(report, test::IsOk());
    return report.ok() ? report->stage : jobs::Stage::kChecking;
  }

  std::optional<Subprocess> program_;
  UniqueFd control_;
};

TEST_F(RestoreServerTest, RestoresAPodAndEnds) {
  StartProgram();
  const wrapper::Request app = CreateRequest("app", "c1");
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");

  const pid_t first = Restore(app);
  EXPECT_EQ(Ask(StartRequest(app)), Answer::Pass());
  EXPECT_TRUE(IsStopped(first));
  const pid_t second = Restore(sidecar);
  EXPECT_EQ(Ask(StartRequest(sidecar)), Answer::Pass());

  EXPECT_EQ(WaitForExit(), 0);
  EXPECT_FALSE(IsStopped(first));
  EXPECT_FALSE(IsStopped(second));
  EXPECT_EQ(SavedStage(), jobs::Stage::kRestored);
  EXPECT_FALSE(std::filesystem::exists(job_.staging_dir));
}

TEST_F(RestoreServerTest, AHeldContainerRunsAfterTheHoldWithoutTheOthers) {
  job_.hold = milliseconds(200);
  StartProgram();
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  ASSERT_EQ(Ask(StartRequest(app)), Answer::Pass());

  EXPECT_TRUE(RunsSoon(pid));
}

TEST_F(RestoreServerTest, AHeldContainerWaitsForOneThatIsBeingRestoredAndNoLonger) {
  job_.hold = milliseconds(0);
  StartProgram();
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");
  UniqueFd wrapper = HandOver(sidecar);
  ASSERT_EQ(AnswerOn(wrapper).decision, Decision::kRestore);
  ASSERT_EQ(Ask(StartRequest(app)), Answer::Pass());
  const wrapper::Outcome outcome = RestoreProcess(sidecar);
  EXPECT_TRUE(IsStopped(pid));

  wrapper.Reset();

  EXPECT_TRUE(RunsSoon(pid));
  EXPECT_TRUE(IsGone(static_cast<pid_t>(outcome.pid)));
}

TEST_F(RestoreServerTest, WhereTheArchiveDoesNotServeItEndsWhenThatIsTold) {
  StartProgram();
  DamageImages("app");
  DamageImages("sidecar");

  EXPECT_EQ(Ask(CreateRequest("app", "c1")).decision, Decision::kFail);

  EXPECT_EQ(WaitForExit(), 3);
}

TEST_F(RestoreServerTest, AWrapperThatClosesItsConnectionEndsItsRestore) {
  StartProgram();
  const wrapper::Request request = CreateRequest("app", "c1");
  UniqueFd wrapper = HandOver(request);
  ASSERT_EQ(AnswerOn(wrapper).decision, Decision::kRestore);
  const auto pid = static_cast<pid_t>(RestoreProcess(request).pid);

  wrapper.Reset();

  EXPECT_EQ(Ask(CreateRequest("app", "c2")).decision, Decision::kRestore);
  EXPECT_TRUE(IsGone(pid));
}

TEST_F(RestoreServerTest, TwoAttemptsMayBeOpenAtOnce) {
  StartProgram();
  const wrapper::Request app = CreateRequest("app", "c1");
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");
  const UniqueFd first = HandOver(app);
  const UniqueFd second = HandOver(sidecar);
  EXPECT_EQ(AnswerOn(first).decision, Decision::kRestore);
  EXPECT_EQ(AnswerOn(second).decision, Decision::kRestore);

  EXPECT_THAT(wrapper::Send(second.get(), RestoreProcess(sidecar), Soon()), test::IsOk());
  EXPECT_EQ(AnswerOn(second), Answer::Pass());
  EXPECT_THAT(wrapper::Send(first.get(), RestoreProcess(app), Soon()), test::IsOk());
  EXPECT_EQ(AnswerOn(first), Answer::Pass());
}

TEST_F(RestoreServerTest, GarbageOnTheControlSocketHarmsNothing) {
  StartProgram();
  EXPECT_EQ(AnswerOn(HandOver("\xff\xff")).decision, Decision::kFail);
  ASSERT_THAT(SendFrame(control_.get(), "no descriptor", Soon()), test::IsOk());

  EXPECT_EQ(Ask(CreateRequest("app", "c1")).decision, Decision::kRestore);
}

TEST_F(RestoreServerTest, SigtermCleansUpAndEnds) {
  StartProgram();
  const pid_t pid = Restore(CreateRequest("app", "c1"));

  ASSERT_THAT(program_->Kill(SIGTERM), test::IsOk());

  EXPECT_EQ(WaitForExit(), 3);
  EXPECT_TRUE(IsGone(pid));
  EXPECT_FALSE(IsMountPoint(job_.staging_dir));
  EXPECT_EQ(SavedStage(), jobs::Stage::kAbandoned);
}

TEST_F(RestoreServerTest, NobodyAskingForLongEndsIt) {
  job_.idle_timeout = seconds(1);
  StartProgram();

  EXPECT_EQ(WaitForExit(), 3);

  EXPECT_FALSE(std::filesystem::exists(job_.staging_dir));
}

TEST_F(RestoreServerTest, AJobThatCannotBeReadIsRefused) {
  SpawnOptions options;
  options.argv = {CRYOPOD_RESTORE_PROGRAM};
  EXPECT_EQ(RunCommand(options, Soon())->status.exit_code, 2);

  options.argv = {CRYOPOD_RESTORE_PROGRAM, "--job", Path("absent")};
  EXPECT_EQ(RunCommand(options, Soon())->status.exit_code, 1);
}

}  // namespace
}  // namespace cryopod::restore
