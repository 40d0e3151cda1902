#include "agent/checkpoint/held_execs.h"

#include <filesystem>

#include "agent/os/subprocess.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::Soon;
using std::chrono::milliseconds;

// This process is the shim, and what it starts are calls of its runtime, which take some time to
// do what they are for.
class HeldExecsTest : public ::testing::Test {
 protected:
  Subprocess Call(const std::string& subcommand, const std::string& seconds = "0.2",
                  const std::string& program = "/bin/sh") const {
    SpawnOptions options;
    options.argv = {program,    "-c",     "/bin/sleep " + seconds + "; : >" + done(),
                    "runtime",  "--root", "/r",
                    subcommand, "c1"};
    return Subprocess::Spawn(options).value();
  }
  std::string done() const { return temp_.path() / "done"; }
  bool IsDone() const { return fs::exists(done()); }
  static bool WaitFor(Subprocess& call) { return call.WaitOnly(Soon()).ok(); }
  // Does it still run after a time in which it would have ended long ago?
  static bool StandsStill(Subprocess& call) {
    return call.WaitOnly(Deadline::After(milliseconds(1000))).status().code() ==
           Code::kDeadlineExceeded;
  }

  const std::set<pid_t> shims_ = {::getpid()};
  const cryopod::test::TempDirectory temp_;
};

TEST_F(HeldExecsTest, OneThatBeginsMeanwhileStandsStillAndThenGoesOn) {
  auto held = std::make_unique<HeldExecs>(shims_, Soon());
  Subprocess exec = Call("exec");
  EXPECT_TRUE(StandsStill(exec));
  EXPECT_FALSE(IsDone());

  held.reset();

  EXPECT_TRUE(WaitFor(exec));
  EXPECT_TRUE(IsDone());
}

TEST_F(HeldExecsTest, OneThatHadBegunIsWaitedForAndNotHeld) {
  Subprocess exec = Call("exec");
  const HeldExecs held(shims_, Soon());

  EXPECT_THAT(held.WaitForThoseThatHadBegun(Soon()), IsOk());

  EXPECT_TRUE(IsDone());
  EXPECT_TRUE(WaitFor(exec));
}

TEST_F(HeldExecsTest, OneThatDoesNotEndIsNotWaitedForLonger) {
  Subprocess exec = Call("exec", "60");
  const HeldExecs held(shims_, Soon());

  EXPECT_THAT(held.WaitForThoseThatHadBegun(Deadline::After(milliseconds(50))), IsOk());

  ASSERT_THAT(exec.Kill(SIGKILL), IsOk());
  EXPECT_TRUE(WaitFor(exec));
}

TEST_F(HeldExecsTest, NoOtherCallIsHeld) {
  const HeldExecs held(shims_, Soon());
  Subprocess kill = Call("kill");

  EXPECT_TRUE(WaitFor(kill));
  EXPECT_TRUE(IsDone());
}

TEST_F(HeldExecsTest, WhatGoesThroughADoorOfItsOwnIsNeitherHeldNorWaitedFor) {
  const std::string wrapper = temp_.path() / "cryopod-runtime";
  fs::copy_file("/bin/sh", wrapper);
  Subprocess waits = Call("exec", "60", wrapper);
  const HeldExecs held(shims_, Soon());
  const Deadline long_before = Deadline::After(std::chrono::seconds(20));
  Subprocess comes = Call("exec", "0.2", wrapper);

  EXPECT_THAT(held.WaitForThoseThatHadBegun(Soon()), IsOk());

  EXPECT_FALSE(long_before.expired());
  EXPECT_TRUE(WaitFor(comes));
  ASSERT_THAT(waits.Kill(SIGKILL), IsOk());
  EXPECT_TRUE(WaitFor(waits));
}

TEST_F(HeldExecsTest, TheyAreLetGoWhenTheTimeIsOver) {
  const HeldExecs held(shims_, Deadline::After(milliseconds(1500)));
  Subprocess exec = Call("exec");
  EXPECT_TRUE(StandsStill(exec));

  EXPECT_TRUE(WaitFor(exec));
}

TEST_F(HeldExecsTest, TheyAreLetGoWhenWhoHoldsThemIsKilled) {
  const pid_t holder = ::fork();
  if (holder == 0) {
    const HeldExecs held({::getppid()}, Soon());
    while (true) ::pause();
  }
  Subprocess exec = Call("exec", "1");
  const std::string stat = "/proc/" + std::to_string(exec.pid()) + "/status";
  const auto is_held = [&stat] {
    const std::string text = cryopod::test::ReadText(stat);
    return text.find("tracing stop") != std::string::npos;
  };
  const Deadline soon = Soon();
  while (!is_held() && !soon.expired()) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_TRUE(is_held());

  ::kill(holder, SIGKILL);
  ASSERT_EQ(::waitpid(holder, nullptr, 0), holder);

  EXPECT_TRUE(WaitFor(exec));
  EXPECT_TRUE(IsDone());
}

}  // namespace
}  // namespace cryopod::checkpoint
