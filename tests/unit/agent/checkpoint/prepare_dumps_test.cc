#include "agent/checkpoint/prepare_dumps.h"

#include <filesystem>
#include <optional>

#include "agent/checkpoint/capture_pod.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"
#include "tests/unit/agent/criu/images/image_bytes.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using criu::test::ImageOf;
using criu::test::Process;
using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::ReadText;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A criu whose name says what it does (fake_criu.cc).
std::string Criu(const cryopod::test::TempDirectory& folder, const std::string& behaviour) {
  const fs::path program = folder.path() / behaviour;
  if (!fs::exists(program)) fs::create_symlink(CRYOPOD_FAKE_CRIU, program);
  return program;
}

class StartedCriuTest : public ::testing::Test {
 protected:
  Result<StartedCriu> Start(const std::string& behaviour, size_t containers = 1) {
    job_.criu_program = Criu(temp_, behaviour);
    job_.containers.resize(containers);
    return StartedCriu::Start(job_);
  }

  cryopod::test::TempDirectory temp_;
  jobs::CheckpointJob job_;
};

TEST_F(StartedCriuTest, TellsTheVersionAndHasAProcessForEachContainer) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, Start("criu", 3));

  const Result<criu::Version> version = started.Check();
  const Result<std::vector<criu::CriuProcess>> crius = started.Take();

  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(version->text(), "4.2.1");
  ASSERT_THAT(crius, IsOk());
  EXPECT_EQ(crius->size(), 3u);
}

TEST_F(StartedCriuTest, ASecondCaptureGetsNewProcesses) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, Start("criu"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<criu::CriuProcess> first, started.Take());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<criu::CriuProcess> second, started.Take());

  ASSERT_EQ(second.size(), 1u);
  EXPECT_NE(second[0].pid(), first[0].pid());
}

TEST_F(StartedCriuTest, AnOldCriuIsRefusedWithBothVersions) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, Start("criu-old"));

  EXPECT_THAT(started.Check(),
              StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr("3.17.1"), HasSubstr("4.1"))));
}

TEST_F(StartedCriuTest, AnAbsentProgramIsNamedWithThePackage) {
  job_.criu_program = "/nowhere/criu";

  EXPECT_THAT(StartedCriu::Start(job_),
              StatusIs(Code::kNotFound, AllOf(HasSubstr("/nowhere/criu"), HasSubstr("package"))));
}

TEST_F(StartedCriuTest, WhatNobodyTookEndsByItself) {
  UniqueFd pidfd;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, Start("criu"));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<criu::CriuProcess> crius, started.Take());
    CRYOPOD_ASSERT_OK_AND_ASSIGN(pidfd, OpenPidfd(crius[0].pid()));
  }

  EXPECT_TRUE(PidfdEnded(pidfd.get(), Soon()));
}

// Two containers with writable layers on disk, and a criu that only says that it dumped.
class PreparedDumpTest : public test::CounterTest {
 protected:
  void SetUp() override {
    CounterTest::SetUp();
    if (IsSkipped()) return;
    Add(test::MakeTarget("app", counter_.pid(), counter_.cgroup()));
    Add(test::MakeTarget("sidecar", sidecar_.pid(), sidecar_.cgroup()));
    Result<StagingArea> staging =
        StagingArea::Create(staging_path(), temp_.path() / "disk", uint64_t{64} << 20);
    ASSERT_THAT(staging, IsOk());
    staging_.emplace(std::move(staging).value());
  }
  void Add(DumpTarget target) {
    target.upper_dir = temp_.path() / (target.requested.name + ".upper");
    fs::create_directory(target.upper_dir);
    WriteText(target.upper_dir + "/file", target.requested.name);
    pod_.targets.push_back(std::move(target));
  }
  std::string staging_path() const { return temp_.path() / "staging"; }

  Result<std::vector<PreparedDump>> Prepare(const std::string& behaviour) {
    jobs::CheckpointJob job;
    job.criu_program = Criu(temp_, behaviour);
    job.containers.resize(pod_.targets.size());
    CRYOPOD_ASSIGN_OR_RETURN(StartedCriu started, StartedCriu::Start(job));
    return PrepareDumps(started, pod_, *staging_, Soon());
  }
  // Freezes the pod for as long; `meanwhile` comes just before.
  Status Capture(
      std::vector<PreparedDump>& dumps, const std::function<void()>& meanwhile = [] {}) {
    CRYOPOD_ASSIGN_OR_RETURN(BirthWatch births, BirthWatch::Begin(pod_, Soon()));
    births_.emplace(std::move(births));  // until nobody lives who was forked meanwhile
    CRYOPOD_ASSIGN_OR_RETURN(const FrozenPod frozen, FreezePod(pod_.targets, Soon(), stood_still_));
    meanwhile();
    checkpoint_.containers.resize(pod_.targets.size());
    return CapturePod(pod_, dumps, frozen, *births_, Soon(), checkpoint_);
  }

  test::CounterInCgroup sidecar_{GetParam()};
  cryopod::test::TempDirectory temp_;
  ResolvedPod pod_;
  std::optional<StagingArea> staging_;
  archive::PodCheckpoint checkpoint_;
  std::optional<BirthWatch> births_;
  std::chrono::nanoseconds stood_still_{0};
};

TEST_P(PreparedDumpTest, EverythingThatCanBeMadeBeforeTheFreezeIsThere) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<PreparedDump> dumps, Prepare("criu"));

  ASSERT_EQ(dumps.size(), 2u);
  EXPECT_EQ(dumps[1].target->requested.name, "sidecar");
  EXPECT_GT(dumps[0].criu.pid(), 0);
  EXPECT_THAT(ReadText(staging_path() + "/app.images/descriptors.json"), HasSubstr("["));
  EXPECT_EQ(ReadText(staging_path() + "/sidecar.rootfs/file"), "sidecar");
  EXPECT_FALSE(fs::exists(staging_path() + "/app.images/pstree.img"));
}

TEST_P(PreparedDumpTest, ASecondPreparationIsMadeAnew) {
  ASSERT_THAT(Prepare("criu"), IsOk());
  WriteText(staging_path() + "/app.images/core-1.img", "of a capture that was discarded");
  fs::remove(pod_.targets[0].upper_dir + "/file");

  ASSERT_THAT(Prepare("criu"), IsOk());

  EXPECT_FALSE(fs::exists(staging_path() + "/app.images/core-1.img"));
  EXPECT_FALSE(fs::exists(staging_path() + "/app.rootfs/file"));
}

TEST_P(PreparedDumpTest, ACriuThatRefusesItsOptionsNamesTheContainerBeforeAnythingIsFrozen) {
  EXPECT_THAT(Prepare("criu-refuses"),
              StatusIs(Code::kUnknown, AllOf(HasSubstr("preparing container app"),
                                             HasSubstr("images directory is gone"))));
}

TEST_P(PreparedDumpTest, APodThatChangedIsNotDumped) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::vector<PreparedDump> dumps, Prepare("criu"));

  EXPECT_THAT(Capture(dumps, [this] { ++pod_.targets[1].state.init_start_ticks; }),
              StatusIs(Code::kAborted, HasSubstr("container sidecar")));
}

// One container in a PID namespace of its own, in which nobody else is born.
class CaptureTest : public PreparedDumpTest {
 protected:
  void SetUp() override {
    PreparedDumpTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(container_.ready());
    counter_.Enter(container_.init());
    counter_.End();
    pod_.targets.clear();
    Add(test::MakeTarget("app", container_.init(), counter_.cgroup()));
  }
  // The watch ends before the namespace, and what was forked meanwhile before the watch.
  void TearDown() override {
    newcomer_.reset();
    births_.reset();
  }

  // What comes in from outside as soon as CRIU has begun to write.
  void ComeIn() {
    while (!fs::exists(staging_path() + "/app.images/pages-1.img")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const UniqueFd& container = pod_.targets[0].init_pidfd;
    newcomer_.emplace([&container] { return ::setns(container.get(), CLONE_NEWPID) == 0; },
                      [] { return true; });
    counter_.Enter(newcomer_->init());
  }

  const test::NamespaceHolder container_{CLONE_NEWPID};
  std::optional<test::NamespaceHolder> newcomer_;
};

TEST_P(CaptureTest, WhatTheFreezeYieldedIsDescribed) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::vector<PreparedDump> dumps, Prepare("criu"));
  // Of two processes the second has ended: it has no thread.
  WriteText(staging_path() + "/app.images/pstree.img",
            ImageOf<criu::wire::pstree_entry>(criu::test::kPstreeMagic,
                                              {Process(1, 0, {1}), Process(2, 1, {})}));

  ASSERT_THAT(Capture(dumps), IsOk());

  EXPECT_EQ(checkpoint_.containers[0].processes, 2u);
  EXPECT_EQ(checkpoint_.containers[0].tasks, 1u) << "a zombie is a process and no task";
  EXPECT_EQ(checkpoint_.containers[0].rootfs_bytes, 3u);
}

TEST_P(CaptureTest, ADumpThatFailsIsReportedWithContainerAndReasonAndItsLogKept) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::vector<PreparedDump> dumps, Prepare("criu-fails"));

  const Status captured = Capture(dumps);

  EXPECT_FALSE(captured.ok());
  EXPECT_THAT(captured.message(), AllOf(HasSubstr("container app"), HasSubstr("io_uring")));
  EXPECT_THAT(ReadText(staging_path() + "/app.work/dump.log"), HasSubstr("io_uring"));
}

TEST_P(CaptureTest, WhatComesInWhileAContainerIsDumpedIsNamedAndTheDumpGivenUp) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::vector<PreparedDump> dumps, Prepare("criu-writes"));
  std::jthread comes_in;
  const auto before = Deadline::Clock::now();

  const Status lost = Capture(dumps, [&] { comes_in = std::jthread([this] { ComeIn(); }); });

  EXPECT_LT(Deadline::Clock::now() - before, std::chrono::seconds(15)) << "it would write on";
  comes_in.join();
  EXPECT_THAT(lost,
              StatusIs(Code::kAborted, HasSubstr("process " + std::to_string(newcomer_->init()))));
  EXPECT_EQ(lost.reason(), Reason::kPodChanged);
  ASSERT_THAT(counter_.cgroup().Thaw(), IsOk());
}

INSTANTIATE_TEST_SUITE_P(Freezers, CaptureTest, test::kBothVersions, test::VersionName);
INSTANTIATE_TEST_SUITE_P(Freezers, PreparedDumpTest, test::kBothVersions, test::VersionName);

bool MapFile(const fs::path& path, int protection, int flags) {
  WriteText(path, "x");
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  return ::mmap(nullptr, 4096, protection, flags, file.get(), 0) != MAP_FAILED;
}

using SharedWritableFilesTest = test::LeafTest;

TEST_F(SharedWritableFilesTest, FindsWhatAStoreCanChangeAndNothingElse) {
  const cryopod::test::TempDirectory temp;
  const test::NamespaceHolder holder(0, [&temp] {
    return MapFile(temp.path() / "shared", PROT_READ | PROT_WRITE, MAP_SHARED) &&
           MapFile(temp.path() / "write-only", PROT_WRITE, MAP_SHARED) &&
           MapFile(temp.path() / "read-only", PROT_READ, MAP_SHARED) &&
           MapFile(temp.path() / "private", PROT_READ | PROT_WRITE, MAP_PRIVATE);
  });
  ASSERT_TRUE(holder.ready());
  Enter(holder.init());
  const std::string prefix = temp.path().string().substr(1) + "/";

  EXPECT_THAT(SharedWritableFiles(Target("app", holder.init()).cgroup),
              IsOkAnd(::testing::UnorderedElementsAre(prefix + "shared", prefix + "write-only")));
}

}  // namespace
}  // namespace cryopod::checkpoint
