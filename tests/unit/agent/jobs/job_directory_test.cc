#include "agent/jobs/job_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <thread>

#include "agent/os/cgroup_paths.h"
#include "agent/os/mount.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/jobs/sample_jobs.h"

namespace cryopod::jobs {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class JobDirectoryTest : public ::testing::Test {
 protected:
  ~JobDirectoryTest() override { (void)RemoveJob(temp_.path(), id()); }

  std::string id() const { return "c-test-" + std::to_string(::getpid()); }
  std::string job_dir() const { return temp_.path() / id(); }
  Status Create() const { return CreateJobDirectory(temp_.path(), id(), "the request"); }
  // A program that does what `body` says; $job is its job's directory.
  Result<Subprocess> Start(const std::string& body) const {
    const std::string program = temp_.path() / "program";
    std::ofstream(program) << "#!/bin/sh\njob=$2\n" << body << "\n";
    ::chmod(program.c_str(), 0755);
    return StartJobProcess(program, job_dir(), id());
  }
  std::map<std::string, ListedJob> List() const {
    std::map<std::string, ListedJob> by_id;
    const std::vector<ListedJob> listed = ListJobs(temp_.path()).value();
    for (const ListedJob& job : listed) by_id[job.id] = job;
    return by_id;
  }

  cryopod::test::TempDirectory temp_;
};

TEST_F(JobDirectoryTest, IsForRootAloneAndHoldsItsRequestAndAnIdIsUsedOnce) {
  ASSERT_THAT(Create(), IsOk());
  EXPECT_THAT(Create(), StatusIs(Code::kAlreadyExists));

  EXPECT_EQ(ReadText(job_dir() + "/request.json"), "the request");
  struct stat status {};
  ASSERT_EQ(::stat(job_dir().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  ASSERT_EQ(::stat((job_dir() + "/request.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(JobDirectoryTest, JobsAreListedWithTheirKindsWhateverTheirNames) {
  ASSERT_THAT(CreateJobDirectory(temp_.path(), "mine", ToText(test::SampleCheckpointJob())),
              IsOk());
  ASSERT_THAT(CreateJobDirectory(temp_.path(), "c-1", ToText(test::SampleRestoreJob())), IsOk());
  ASSERT_THAT(CreateJobDirectory(temp_.path(), "r-1", R"({"operation_id":"r-1"})"), IsOk());
  ASSERT_THAT(CreateJobDirectory(temp_.path(), "r-2", R"({"format":1,"kind":"new"})"), IsOk());
  fs::create_directory(temp_.path() / "empty");

  auto jobs = List();

  ASSERT_EQ(jobs.size(), 5u);
  EXPECT_THAT(jobs["mine"].readable, IsOk());
  EXPECT_EQ(jobs["mine"].kind, JobKind::kCheckpoint);
  EXPECT_EQ(jobs["c-1"].kind, JobKind::kRestore);
  EXPECT_TRUE(IsNotUnderstood(jobs["r-1"].readable)) << "no format";
  EXPECT_TRUE(IsNotUnderstood(jobs["r-2"].readable)) << "a kind that nobody knows";
  EXPECT_THAT(jobs["empty"].readable, StatusIs(Code::kNotFound));
  EXPECT_THAT(ListJobs("/nowhere"), StatusIs(Code::kNotFound));
}

TEST_F(JobDirectoryTest, AProcessHasASessionAndACgroupOfItsOwnAndAnEmptyEnvironment) {
  if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
  ::setenv("CRYOPOD_TEST_SECRET", "x", 1);
  ASSERT_THAT(Create(), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      Subprocess process,
      Start("env >$job/env\nreadlink /proc/$$/fd/0 >$job/stdin\numask >$job/umask\n"
            "touch $job/ready; exec sleep 60"));

  const Deadline deadline = Deadline::After(std::chrono::seconds(20));
  while (!fs::exists(job_dir() + "/ready") && !deadline.expired()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(::getsid(process.pid()), process.pid());
  EXPECT_THAT(ReadText("/proc/" + std::to_string(process.pid()) + "/cgroup"),
              HasSubstr("/cryopod/" + id()));
  EXPECT_THAT(ReadText(job_dir() + "/env"),
              AllOf(HasSubstr("PATH="), HasSubstr("CRYOPOD_LOG_LEVEL=info"),
                    Not(HasSubstr("CRYOPOD_TEST_SECRET"))));
  EXPECT_EQ(ReadText(job_dir() + "/stdin"), "/dev/null\n");
  EXPECT_EQ(ReadText(job_dir() + "/umask"), "0077\n");
  EXPECT_THAT(RemoveJob(temp_.path(), id()), IsOk());
  EXPECT_TRUE(PidfdEnded(process.pidfd(), deadline)) << "removing a job ends what is left of it";
}

TEST_F(JobDirectoryTest, AProgramThatIsMissingIsAnErrorAndRemovingTheJobLeavesNoCgroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
  ASSERT_THAT(Create(), IsOk());

  EXPECT_THAT(StartJobProcess(temp_.path() / "absent", job_dir(), id()), StatusIs(Code::kNotFound));

  EXPECT_THAT(RemoveJob(temp_.path(), id()), IsOk());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<CgroupMount> mounts, ReadCgroupMounts());
  for (const CgroupMount& mount : mounts) {
    EXPECT_FALSE(fs::exists(mount.path + "/cryopod/" + id())) << mount.path;
  }
}

TEST_F(JobDirectoryTest, RemovingAJobUnmountsItsStagingArea) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounts need root";
  ASSERT_THAT(Create(), IsOk());
  ASSERT_THAT(MountTmpfs(job_dir() + "/staging", 1 << 20), IsOk());
  WriteText(job_dir() + "/staging/pages-1.img", "secret");

  EXPECT_THAT(RemoveJob(temp_.path(), id()), IsOk());

  EXPECT_FALSE(fs::exists(job_dir()));
  EXPECT_THAT(RemoveJob(temp_.path(), id()), IsOk()) << "absent is success";
}

TEST(NewOperationIdTest, TellsTheKindAndDoesNotRepeat) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(NewOperationId(JobKind::kCheckpoint));

  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_TRUE(std::regex_match(*ids.begin(), std::regex("c-[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")))
      << *ids.begin();
  EXPECT_THAT(NewOperationId(JobKind::kRestore), ::testing::StartsWith("r-"));
  EXPECT_THAT(NewOperationId(JobKind::kPod), ::testing::StartsWith("p-"));
  EXPECT_THAT(CheckOperationId(*ids.begin()), IsOk());
}

TEST(CheckOperationIdTest, TakesWhatMayBeAFileNameAndNothingElse) {
  for (const char* id : {"a", "migrate-42", "Z9", "0-"}) {
    EXPECT_THAT(CheckOperationId(id), IsOk()) << id;
  }
  for (const std::string& id :
       {std::string(), std::string("-a"), std::string("a/b"), std::string(".."), std::string("a b"),
        std::string("a\n"), std::string("a\0b", 3), std::string(65, 'a')}) {
    EXPECT_THAT(CheckOperationId(id), StatusIs(Code::kInvalidArgument)) << id;
  }
  EXPECT_THAT(CheckOperationId(std::string(64, 'a')), IsOk());
}

}  // namespace
}  // namespace cryopod::jobs
