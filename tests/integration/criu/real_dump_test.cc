#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/criu/images/criu_images.h"
#include "agent/criu/plugin/plugin_contract.h"
#include "agent/os/unix_socket.h"
#include "real_criu.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class RealDumpTest : public test::RealCriu {
 protected:
  // As a checkpoint does it: CRIU parked, the leaf frozen, dump, thaw.
  Status DumpFrozen(pid_t pid, Deadline deadline = Deadline::After(seconds(60))) {
    CRYOPOD_ASSIGN_OR_RETURN(CriuProcess process, CriuProcess::Spawn(criu()));
    CRYOPOD_RETURN_IF_ERROR(
        process.Park(OptionsFor(pid, leaf()), images_fd_.get(), work_fd_.get(), deadline));
    CRYOPOD_RETURN_IF_ERROR(Freeze());
    count_at_freeze_ = Count(counter());
    Status dumped = process.Dump(deadline);
    CRYOPOD_RETURN_IF_ERROR(leaf().Thaw());
    process.Finish();
    return dumped;
  }

  // A PID is taken as long as it names a process group, be it one of zombies.
  static void WaitUntilPidIsFree(pid_t pid) {
    const Deadline deadline = Deadline::After(seconds(10));
    while (::kill(-pid, 0) == 0 && !deadline.expired()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  Status Restore(const std::vector<std::string>& more = {},
                 const std::vector<std::string>& environment = {}) {
    std::vector<std::string> argv = {criu(),
                                     "restore",
                                     "-D",
                                     images_.path(),
                                     "-W",
                                     work_.path(),
                                     "-d",
                                     "-o",
                                     "restore.log",
                                     "-v4",
                                     "--manage-cgroups=ignore",
                                     "--tcp-close"};
    argv.insert(argv.end(), more.begin(), more.end());
    CRYOPOD_ASSIGN_OR_RETURN(Subprocess restore, SpawnInLeaf(std::move(argv), environment));
    CRYOPOD_ASSIGN_OR_RETURN(const ExitStatus exit, restore.Wait(Deadline::After(seconds(30))));
    if (exit.success()) return Status();
    return Status(Code::kUnknown, cryopod::test::ReadText(work_.path() / "restore.log"));
  }

  // Dumps a ticker and ends it, so that it can be restored.
  void MakeDump() {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess ticker, StartTicker("8"));
    ASSERT_THAT(DumpFrozen(ticker.pid()), IsOk());
    ASSERT_THAT(leaf().Kill(Deadline::After(seconds(10))), IsOk());
    ASSERT_THAT(ticker.Wait(Deadline::After(seconds(10))), IsOk());
    WaitUntilPidIsFree(ticker.pid());
    counts_at_end_ = Counts();
  }

  std::pair<uint64_t, uint64_t> Counts() const {
    return {Count(counter()), Count(counter() + ".child")};
  }

  // As the launcher starts CRIU, which leaves the leaf for `runtime_cgroup`.
  Status RestoreHeld(const std::string& runtime_cgroup) {
    const std::string locks = work_.path() / "record_locks";
    cryopod::test::WriteText(locks, "");
    return Restore({"--libdir", std::filesystem::path(CRYOPOD_HOLD_PLUGIN).parent_path()},
                   {std::string(kHoldCgroup) + "=" + leaf().path(),
                    std::string(kRuntimeCgroup) + "=" + runtime_cgroup,
                    std::string(kRecordLocks) + "=" + locks,
                    std::string(kLauncherLog) + "=" + scratch("launcher.log")});
  }

  cryopod::test::TempDirectory images_;
  cryopod::test::TempDirectory work_;
  const UniqueFd images_fd_ = OpenDirectory(images_.path()).value();
  const UniqueFd work_fd_ = OpenDirectory(work_.path()).value();
  uint64_t count_at_freeze_ = 0;
  std::pair<uint64_t, uint64_t> counts_at_end_;  // of the one that was dumped
};

TEST_P(RealDumpTest, CriuIsNewEnoughAndWorksOnThisKernel) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Version version,
                               CheckVersion(criu(), Deadline::After(seconds(10))));
  EXPECT_GE(version.major, kMajorMin);
  EXPECT_THAT(CheckFeatures(criu(), Deadline::After(seconds(10))), IsOk());
}

TEST_P(RealDumpTest, AFrozenCgroupIsDumpedAndGoesOnAfterTheThaw) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess ticker, StartTicker("8"));

  ASSERT_THAT(DumpFrozen(ticker.pid()), IsOk());

  EXPECT_TRUE(Progresses());
  const Result<std::vector<DumpedProcess>> dumped = ReadPstree(images_fd_.get());
  const Result<std::vector<pid_t>> living = leaf().Processes();
  ASSERT_THAT(dumped, IsOk());
  ASSERT_THAT(living, IsOk());
  ASSERT_EQ(dumped->size(), 2u);
  EXPECT_THAT(*living, UnorderedElementsAre(dumped->at(0).pid, dumped->at(1).pid));
  EXPECT_EQ(dumped->at(0).pid, ticker.pid());
  EXPECT_EQ(dumped->at(1).parent_pid, ticker.pid());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const DumpStats stats, ReadDumpStats(work_fd_.get()));
  EXPECT_GT(stats.frozen_us, 0u);
}

TEST_P(RealDumpTest, NothingRunsFromTheFreezeToTheThaw) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess ticker, StartTicker("8"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(CriuProcess process, CriuProcess::Spawn(criu()));
  const Deadline deadline = Deadline::After(seconds(60));
  ASSERT_THAT(
      process.Park(OptionsFor(ticker.pid(), leaf()), images_fd_.get(), work_fd_.get(), deadline),
      IsOk());
  ASSERT_THAT(Freeze(), IsOk());
  const uint64_t before = Count(counter());

  ASSERT_THAT(process.Dump(deadline), IsOk());

  EXPECT_EQ(Count(counter()), before);
  EXPECT_THAT(leaf().Thaw(), IsOk());
  EXPECT_TRUE(Progresses());
}

// It has stopped the tasks, put its own code into them and begun to write.
TEST_P(RealDumpTest, ADumpThatNobodyWantsAnyMoreEndsByItselfAndTheTasksGoOn) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess ticker, StartTicker("256"));
  for (const char* image : {"inventory.img", "pstree.img", "pages-1.img"}) {
    SCOPED_TRACE(image);
    CRYOPOD_ASSERT_OK_AND_ASSIGN(CriuProcess process, CriuProcess::Spawn(criu()));
    const Deadline deadline = Deadline::After(seconds(60));
    ASSERT_THAT(
        process.Park(OptionsFor(ticker.pid(), leaf()), images_fd_.get(), work_fd_.get(), deadline),
        IsOk());
    ASSERT_THAT(Freeze(), IsOk());
    const auto has_begun = [&] { return std::filesystem::exists(images_.path() / image); };

    const Status dump = process.Dump(deadline, has_begun);

    EXPECT_THAT(dump, StatusIs(Code::kCancelled, HasSubstr("gave the dump up")));
    EXPECT_FALSE(process.StillHolds());
    EXPECT_THAT(leaf().Thaw(), IsOk());
    EXPECT_TRUE(Progresses());
    for (const auto& entry : std::filesystem::directory_iterator(images_.path())) {
      std::filesystem::remove(entry);
    }
  }
  ASSERT_THAT(DumpFrozen(ticker.pid()), IsOk()) << "it is dumped as any other afterwards";
}

TEST_P(RealDumpTest, AParkedCriuThatIsNotNeededLeavesTheTasksAlone) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess ticker, StartTicker("8"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(CriuProcess process, CriuProcess::Spawn(criu()));
  ASSERT_THAT(process.Park(OptionsFor(ticker.pid(), leaf()), images_fd_.get(), work_fd_.get(),
                           Deadline::After(seconds(60))),
              IsOk());
  EXPECT_TRUE(Progresses());

  process.Discard();

  EXPECT_TRUE(PidfdEnded(process.pidfd(), Deadline::After(seconds(0))));
  EXPECT_TRUE(Progresses());
}

TEST_P(RealDumpTest, WhatThePluginHoldsWaitsInItsFrozenCgroupForTheThaw) {
  MakeDump();

  ASSERT_THAT(RestoreHeld(std::filesystem::path(leaf().path()).parent_path()), IsOk());

  ASSERT_THAT(leaf().WaitFrozen(Deadline::After(seconds(5))), IsOk());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<pid_t> held, leaf().Processes());
  EXPECT_EQ(held.size(), 2u) << "CRIU has left";
  EXPECT_EQ(Counts(), counts_at_end_);
  ASSERT_THAT(leaf().Thaw(), IsOk());
  EXPECT_TRUE(Progresses());
}

TEST_P(RealDumpTest, WhatThePluginCannotHoldIsKilledBeforeItRunsAndTheRestoreFails) {
  MakeDump();

  EXPECT_FALSE(RestoreHeld("/sys/fs/cgroup/gone").ok());

  EXPECT_THAT(cryopod::test::ReadText(scratch("launcher.log")),
              AllOf(HasSubstr("criu plugin: "), HasSubstr("/sys/fs/cgroup/gone")));
  const auto is_empty = [&] { return leaf().LivingThreads().value().empty(); };
  for (const Deadline deadline = Deadline::After(seconds(5)); !is_empty();) {
    ASSERT_FALSE(deadline.expired());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(Counts(), counts_at_end_);
}

TEST_P(RealDumpTest, TheDumpIsRestoredAndGoesOnWhereItWas) {
  MakeDump();

  ASSERT_THAT(Restore(), IsOk());

  ASSERT_TRUE(Progresses());
  EXPECT_GT(Count(counter()), count_at_freeze_);
  EXPECT_LT(Count(counter()), count_at_freeze_ + 5000);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<pid_t> living, leaf().Processes());
  EXPECT_EQ(living.size(), 2u);
}

TEST_P(RealDumpTest, AFailedDumpTellsWhyAndHarmsNothing) {
  struct Failure {
    std::string hold;
    std::string reason;
  };
  const std::string socket = scratch("outside");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd listener, ListenUnix(socket));
  for (const Failure& failure : {Failure{"deleted", "deleted file"}, Failure{"uring", "io_uring"},
                                 Failure{"socket:" + socket, "unix socket outside"}}) {
    Result<Subprocess> ticker = StartTicker("1", failure.hold);
    ASSERT_THAT(ticker, IsOk()) << failure.hold;
    UniqueFd accepted;
    if (failure.hold.starts_with("socket:")) {
      CRYOPOD_ASSERT_OK_AND_ASSIGN(accepted,
                                   AcceptUnix(listener.get(), Deadline::After(seconds(5))));
    }

    EXPECT_THAT(DumpFrozen(ticker->pid()),
                StatusIs(Code::kFailedPrecondition, HasSubstr(failure.reason)))
        << failure.hold;

    EXPECT_TRUE(Progresses()) << failure.hold;
    ASSERT_THAT(leaf().Kill(Deadline::After(seconds(10))), IsOk());
    ASSERT_THAT(ticker->Wait(Deadline::After(seconds(10))), IsOk());
  }
}

TEST_P(RealDumpTest, AProcessThatIsGoneIsReportedAsThat) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess ticker, StartTicker("1"));
  ASSERT_THAT(leaf().Kill(Deadline::After(seconds(10))), IsOk());
  ASSERT_THAT(ticker.Wait(Deadline::After(seconds(10))), IsOk());

  const Status dumped = DumpFrozen(ticker.pid());

  EXPECT_FALSE(dumped.ok());
  EXPECT_THAT(dumped.message(), ::testing::Not(HasSubstr("RLIMIT_NOFILE")));
}

INSTANTIATE_TEST_SUITE_P(Real, RealDumpTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         test::VersionName);

}  // namespace
}  // namespace cryopod::criu
