#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/checkpoint/capture_pod.h"
#include "agent/checkpoint/prepare_dumps.h"
#include "agent/checkpoint/shared_mappings.h"
#include "agent/checkpoint/start_criu.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/counter_in_cgroup.h"
#include "tests/unit/agent/checkpoint/dump_target_fixture.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two containers with writable layers on disk, and a criu that only says that it dumped.
class PreparedDumpTest : public ::testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    CRYOPOD_SKIP_WITHOUT(app_);
    for (const auto& [name, counter] : {std::pair{"app", &app_}, std::pair{"sidecar", &sidecar_}}) {
      pod_.targets.push_back(test::MakeTarget(name, counter->pid(), counter->cgroup()));
      pod_.targets.back().upper_dir = temp_.path() / (std::string(name) + ".upper");
      fs::create_directory(pod_.targets.back().upper_dir);
      std::ofstream(pod_.targets.back().upper_dir + "/file") << name;
    }
    Result<StagingArea> staging =
        StagingArea::Create(staging_path(), temp_.path() / "disk", uint64_t{64} << 20);
    ASSERT_THAT(staging, IsOk());
    staging_.emplace(std::move(staging).value());
  }
  std::string staging_path() const { return temp_.path() / "staging"; }
  std::string Criu(const std::string& behaviour) const {
    const fs::path program = temp_.path() / behaviour;
    if (!fs::exists(program)) fs::create_symlink(CRYOPOD_FAKE_CRIU, program);
    return program;
  }

  Result<std::vector<PreparedDump>> Prepare(const std::string& behaviour) {
    CRYOPOD_ASSIGN_OR_RETURN(StartedCriu started,
                             StartedCriu::Start(Criu(behaviour), "", pod_.targets.size()));
    CRYOPOD_ASSIGN_OR_RETURN(std::vector<criu::CriuProcess> crius, started.Take());
    return PrepareDumps(std::move(crius), pod_, *staging_);
  }

  test::CounterInCgroup app_{GetParam()};
  test::CounterInCgroup sidecar_{GetParam()};
  cryopod::test::TempDirectory temp_;
  ResolvedPod pod_;
  std::optional<StagingArea> staging_;
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
  std::ofstream(staging_path() + "/app.images/core-1.img") << "of a capture that was discarded";
  fs::remove(pod_.targets[0].upper_dir + "/file");

  ASSERT_THAT(Prepare("criu"), IsOk());

  EXPECT_FALSE(fs::exists(staging_path() + "/app.images/core-1.img"));
  EXPECT_FALSE(fs::exists(staging_path() + "/app.rootfs/file"));
}

TEST_P(PreparedDumpTest, EachContainerHasACriuOfItsOwn) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, StartedCriu::Start(Criu("criu"), "", 1));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::vector<criu::CriuProcess> one, started.Take());

  EXPECT_THAT(PrepareDumps(std::move(one), pod_, *staging_),
              StatusIs(Code::kInternal, HasSubstr("1 CRIU processes for 2 containers")));
}

TEST_P(PreparedDumpTest, ACriuThatRefusesItsOptionsNamesTheContainerBeforeAnythingIsFrozen) {
  EXPECT_THAT(Prepare("criu-refuses"),
              StatusIs(Code::kUnknown, testing::AllOf(HasSubstr("preparing container app"),
                                                      HasSubstr("images directory is gone"))));
}

TEST_P(PreparedDumpTest, ADumpThatFailsIsReportedWithContainerAndReasonAndItsLogKept) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::vector<PreparedDump> dumps, Prepare("criu-fails"));
  const Deadline deadline = Deadline::After(seconds(20));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthWatch births, BirthWatch::Begin(pod_, deadline));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const FrozenPod frozen, FreezePod(pod_.targets, deadline));

  const Result<CapturedPod> captured = CapturePod(pod_, dumps, frozen, births, deadline);

  EXPECT_FALSE(captured.ok());
  EXPECT_THAT(captured.status().message(),
              testing::AllOf(HasSubstr("container app"), HasSubstr("io_uring")));
  for (const char* name : {"app", "sidecar"}) {
    EXPECT_THAT(ReadText(staging_path() + "/" + name + ".work/dump.log"), HasSubstr("io_uring"));
  }
}

TEST_P(PreparedDumpTest, APodThatChangedIsNotDumped) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::vector<PreparedDump> dumps, Prepare("criu"));
  const Deadline deadline = Deadline::After(seconds(20));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthWatch births, BirthWatch::Begin(pod_, deadline));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const FrozenPod frozen, FreezePod(pod_.targets, deadline));
  ++pod_.targets[1].state.init_start_ticks;

  EXPECT_THAT(CapturePod(pod_, dumps, frozen, births, deadline),
              StatusIs(Code::kAborted, HasSubstr("container sidecar")));
}

TEST_P(PreparedDumpTest, WhatCameIntoAContainerWhileItWasDumpedIsNamed) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::vector<PreparedDump> dumps, Prepare("criu-late"));
  const Deadline deadline = Deadline::After(seconds(20));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthWatch births, BirthWatch::Begin(pod_, deadline));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const FrozenPod frozen, FreezePod(pod_.targets, deadline));
  pid_t newcomer = -1;
  std::jthread comes_in_mid_dump([&newcomer, this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    newcomer = ::fork();
    if (newcomer == 0) {
      while (true) ::pause();
    }
    std::ofstream(sidecar_.path() + "/cgroup.procs") << newcomer;
  });

  const Status lost = CapturePod(pod_, dumps, frozen, births, deadline).status();

  comes_in_mid_dump.join();
  EXPECT_THAT(lost, StatusIs(Code::kAborted,
                             HasSubstr("container sidecar: process " + std::to_string(newcomer))));
  EXPECT_EQ(lost.reason(), Reason::kPodChanged);
  ::kill(newcomer, SIGKILL);
  ASSERT_THAT(sidecar_.cgroup().Thaw(), IsOk());
  ::waitpid(newcomer, nullptr, 0);
}

INSTANTIATE_TEST_SUITE_P(Freezers, PreparedDumpTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         test::VersionName);

void MapFile(const fs::path& path, int protection, int flags) {
  std::ofstream(path) << "x";
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (::mmap(nullptr, 4096, protection, flags, file.get(), 0) == MAP_FAILED) ::_exit(1);
}

TEST(SharedWritableFilesTest, FindsWhatAStoreCanChangeAndNothingElse) {
  const cryopod::test::TestCgroup leaf(CgroupVersion::kV2);
  if (!leaf.valid()) GTEST_SKIP() << "no cgroups to write to";
  const cryopod::test::TempDirectory temp;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    MapFile(temp.path() / "shared", PROT_READ | PROT_WRITE, MAP_SHARED);
    MapFile(temp.path() / "write-only", PROT_WRITE, MAP_SHARED);
    MapFile(temp.path() / "read-only", PROT_READ, MAP_SHARED);
    MapFile(temp.path() / "private", PROT_READ | PROT_WRITE, MAP_PRIVATE);
    (void)!::write(ends[1], "x", 1);
    while (true) ::pause();
  }
  const UniqueFd read_end(ends[0]);
  ::close(ends[1]);
  char told = 0;
  ASSERT_EQ(::read(read_end.get(), &told, 1), 1);
  std::ofstream(leaf.path() + "/cgroup.procs") << child;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::Open(leaf.path()));
  const std::string prefix = temp.path().string().substr(1) + "/";

  EXPECT_THAT(SharedWritableFiles(cgroup),
              IsOkAnd(testing::UnorderedElementsAre(prefix + "shared", prefix + "write-only")));

  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace cryopod::checkpoint
