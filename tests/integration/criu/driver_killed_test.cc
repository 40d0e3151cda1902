#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <random>
#include <thread>

#include "agent/os/proc.h"
#include "real_criu.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using std::chrono::microseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr int kKills = 25;
// Kills that come after the dump has ended prove nothing and are not counted.
constexpr int kRoundsMax = 200;

// What is left of a dump after its driver was killed: CRIU alone.
struct Orphan {
  pid_t driver = 0;
  UniqueFd criu_pidfd;
};

class DriverKilledTest : public test::RealCriu {
 protected:
  // A child that drives a dump; tells CRIU's PID before it asks for it.
  Result<Orphan> StartDriver(pid_t target) {
    std::array<int, 2> pipe{};
    if (::pipe(pipe.data()) != 0) return ErrnoStatus(errno, "pipe", "");
    const UniqueFd reading(pipe[0]);
    UniqueFd writing(pipe[1]);
    Orphan orphan;
    orphan.driver = ::fork();
    if (orphan.driver == 0) Drive(target, writing.get());
    writing.Reset();
    pid_t criu_pid = 0;
    if (::read(reading.get(), &criu_pid, sizeof(criu_pid)) != sizeof(criu_pid)) {
      return Status(Code::kUnknown, "the driver did not start CRIU");
    }
    CRYOPOD_ASSIGN_OR_RETURN(orphan.criu_pidfd, OpenPidfd(criu_pid));
    return orphan;
  }

  [[noreturn]] void Drive(pid_t target, int tell_fd) {
    Result<UniqueFd> dir = OpenDirectory(scratch("dump"));
    Result<CriuProcess> process = CriuProcess::Spawn(criu());
    if (!dir.ok() || !process.ok()) ::_exit(1);
    const pid_t pid = process->pid();
    if (::write(tell_fd, &pid, sizeof(pid)) != sizeof(pid)) ::_exit(1);
    const Deadline deadline = Deadline::After(seconds(60));
    const Status parked =
        process->Park(OptionsFor(target, leaf()), dir->get(), dir->get(), deadline);
    ::_exit(parked.ok() && process->Dump(deadline).ok() ? 0 : 1);
  }

  void MakeDumpDirectory() {
    std::filesystem::remove_all(scratch("dump"));
    std::filesystem::create_directory(scratch("dump"));
  }

  // The exit code of a driver that was let alone; how long it took is put into `took`.
  int DriveToTheEnd(pid_t target, microseconds* took) {
    MakeDumpDirectory();
    if (!Freeze().ok()) return -1;
    const steady_clock::time_point start = steady_clock::now();
    Result<Orphan> orphan = StartDriver(target);
    int status = -1;
    if (orphan.ok()) ::waitpid(orphan->driver, &status, 0);
    *took = std::chrono::duration_cast<microseconds>(steady_clock::now() - start);
    return leaf().Thaw().ok() ? status : -1;
  }

  void ExpectUnharmed(int round) {
    EXPECT_TRUE(Progresses()) << "round " << round;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<pid_t> pids, leaf().Processes());
    EXPECT_EQ(pids.size(), 2u) << "round " << round;
    for (const pid_t pid : pids) {
      CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessInfo info, ReadProcessInfo(pid));
      EXPECT_EQ(info.tracer_pid, 0) << "round " << round;
      EXPECT_NE(info.state, 'T') << "round " << round;
      EXPECT_NE(info.state, 't') << "round " << round;
    }
  }
};

TEST_P(DriverKilledTest, TheDumpFinishesOrUnwindsAloneAndTheContainerGoesOnAfterAThaw) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess ticker, StartTicker("64"));
  microseconds whole{0};
  ASSERT_EQ(DriveToTheEnd(ticker.pid(), &whole), 0);
  std::mt19937 random(20261124);
  int killed_inside = 0;

  for (int round = 0; killed_inside < kKills && round < kRoundsMax; ++round) {
    MakeDumpDirectory();
    ASSERT_THAT(Freeze(), IsOk());
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Orphan orphan, StartDriver(ticker.pid()));
    std::uniform_int_distribution<int64_t> instant_us(0, whole.count());
    std::this_thread::sleep_for(microseconds(instant_us(random)));
    if (PidfdEnded(orphan.criu_pidfd.get(), Deadline::After(seconds(0)))) {
      whole = std::max(whole * 3 / 4, microseconds(5000));
    } else {
      ++killed_inside;
    }
    ::kill(orphan.driver, SIGKILL);
    ::waitpid(orphan.driver, nullptr, 0);

    ASSERT_TRUE(PidfdEnded(orphan.criu_pidfd.get(), Deadline::After(seconds(30)))) << round;
    ASSERT_THAT(leaf().Thaw(), IsOk());

    ExpectUnharmed(round);
  }
  EXPECT_EQ(killed_inside, kKills) << "too few kills met a dump";
}

INSTANTIATE_TEST_SUITE_P(Real, DriverKilledTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         test::VersionName);

}  // namespace
}  // namespace cryopod::criu
