#include "agent/jobs/job_directory.h"

#include <sys/stat.h>

#include <csignal>

#include "agent/jobs/job_process.h"
#include "agent/os/cgroup.h"
#include "agent/os/mount.h"
#include "agent/os/proc.h"
#include "tests/support/read_text.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using jobs::JobEvent;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class JobFilesTest : public test::AgentFixture {
 protected:
  std::string id() const { return "c-test-" + std::to_string(::getpid()); }
  std::string job_dir() const { return config_.jobs_dir() + "/" + id(); }
  Status Create() const { return jobs::CreateJobDirectory(config_.jobs_dir(), id(), "{}"); }
  Result<Subprocess> StartJob() const {
    return jobs::StartJobProcess(config_.checkpoint_program(), job_dir(), id());
  }
};

TEST_F(JobFilesTest, AJobsDirectoryIsForRootAloneAndHoldsItsRequest) {
  ASSERT_THAT(jobs::CreateJobDirectory(config_.jobs_dir(), id(), "the request"), IsOk());

  EXPECT_EQ(ReadText(job_dir() + "/request.json"), "the request");
  struct stat status {};
  ASSERT_EQ(::stat(job_dir().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  ASSERT_EQ(::stat((job_dir() + "/request.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(JobFilesTest, AnIdIsUsedOnce) {
  ASSERT_THAT(Create(), IsOk());

  EXPECT_THAT(Create(), StatusIs(Code::kAlreadyExists));
}

TEST_F(JobFilesTest, JobsAreListedByKind) {
  for (const char* name : {"c-1", "c-2", "r-1"}) {
    ASSERT_THAT(jobs::CreateJobDirectory(config_.jobs_dir(), name, "{}"), IsOk());
  }

  EXPECT_THAT(jobs::ListJobs(config_.jobs_dir(), "c-"),
              IsOkAnd(UnorderedElementsAre("c-1", "c-2")));
  EXPECT_THAT(jobs::ListJobs(config_.jobs_dir(), "r-"), IsOkAnd(ElementsAre("r-1")));
  EXPECT_THAT(jobs::ListJobs("/nowhere", "c-"), StatusIs(Code::kNotFound));
}

TEST_F(JobFilesTest, AProcessHasASessionAndACgroupOfItsOwnAndAnEmptyEnvironment) {
  if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
  ::setenv("CRYOPOD_TEST_SECRET", "x", 1);
  SetCheckpointProgram(
      "env >$job/env\nreadlink /proc/$$/fd/0 >$job/stdin\numask >$job/umask\n"
      "touch $job/ready; exec sleep 60");
  ASSERT_THAT(Create(), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess process, StartJob());

  ASSERT_TRUE(Eventually([&] { return fs::exists(job_dir() + "/ready"); }));
  EXPECT_EQ(::getsid(process.pid()), process.pid());
  EXPECT_THAT(ReadText("/proc/" + std::to_string(process.pid()) + "/cgroup"),
              ::testing::HasSubstr("/cryopod/" + id()));
  EXPECT_THAT(ReadText(job_dir() + "/env"),
              ::testing::AllOf(::testing::HasSubstr("PATH="),
                               ::testing::HasSubstr("CRYOPOD_LOG_LEVEL=info"),
                               ::testing::Not(::testing::HasSubstr("CRYOPOD_TEST_SECRET"))));
  EXPECT_EQ(ReadText(job_dir() + "/stdin"), "/dev/null\n");
  EXPECT_EQ(ReadText(job_dir() + "/umask"), "0077\n");
  EXPECT_THAT(jobs::RemoveJob(config_.jobs_dir(), id()), IsOk());
  EXPECT_TRUE(PidfdEnded(process.pidfd(), Soon())) << "removing a job ends what is left of it";
}

TEST_F(JobFilesTest, AProgramThatIsMissingIsAnErrorAndRemovingTheJobLeavesNoCgroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
  ASSERT_THAT(Create(), IsOk());
  fs::remove(config_.checkpoint_program());

  EXPECT_THAT(StartJob(), StatusIs(Code::kNotFound));

  EXPECT_THAT(jobs::RemoveJob(config_.jobs_dir(), id()), IsOk());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> cgroups, OperationCgroup::List());
  EXPECT_THAT(cgroups, ::testing::Not(::testing::Contains(id())));
}

TEST_F(JobFilesTest, RemovingAJobUnmountsItsStagingArea) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounts need root";
  ASSERT_THAT(Create(), IsOk());
  ASSERT_THAT(MountTmpfs(job_dir() + "/staging", 1 << 20), IsOk());
  std::ofstream(job_dir() + "/staging/pages-1.img") << "secret";

  EXPECT_THAT(jobs::RemoveJob(config_.jobs_dir(), id()), IsOk());

  EXPECT_FALSE(fs::exists(job_dir()));
  EXPECT_THAT(jobs::RemoveJob(config_.jobs_dir(), id()), IsOk()) << "absent is success";
}

TEST_F(JobFilesTest, EventsAreReadLineByLineAndAHalfWrittenOneLater) {
  ASSERT_THAT(Create(), IsOk());
  const JobEvent first{"freeze", "", 0, 0};
  const JobEvent second{"archive", "app", 5, 10};
  const std::string line = checkpoint::ToJson(second) + "\n";
  std::ofstream file(job_dir() + "/events");
  size_t offset = 0;

  file << checkpoint::ToJson(first) << "\n" << line.substr(0, 20) << std::flush;
  EXPECT_THAT(jobs::ReadNewEvents(job_dir(), offset), ElementsAre(first));
  EXPECT_THAT(jobs::ReadNewEvents(job_dir(), offset), IsEmpty());

  file << line.substr(20) << std::flush;
  EXPECT_THAT(jobs::ReadNewEvents(job_dir(), offset), ElementsAre(second));
  EXPECT_THAT(jobs::ReadNewEvents(job_dir(), offset), IsEmpty());
}

TEST_F(JobFilesTest, ALineThatIsNoEventIsPassedOver) {
  ASSERT_THAT(Create(), IsOk());
  const JobEvent event{"commit", "", 0, 0};
  std::ofstream(job_dir() + "/events") << "garbage\n\n" << checkpoint::ToJson(event) << "\n";
  size_t offset = 0;

  EXPECT_THAT(jobs::ReadNewEvents(job_dir(), offset), ElementsAre(event));
}

TEST_F(JobFilesTest, AJobWithoutEventsHasNone) {
  size_t offset = 0;

  EXPECT_THAT(jobs::ReadNewEvents(job_dir(), offset), IsEmpty());
  EXPECT_EQ(offset, 0u);
}

Result<Subprocess> Sleep() {
  SpawnOptions options;
  options.argv = {"/bin/sleep", "60"};
  return Subprocess::Spawn(options);
}

TEST(JobProcessTest, WithoutAProcessItHasEnded) {
  const jobs::JobProcess process;

  EXPECT_FALSE(process.alive());
  EXPECT_TRUE(process.Ended(Deadline::After(seconds(0))));
}

TEST(JobProcessTest, AChildLivesUntilItEnds) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Sleep());
  const pid_t pid = child.pid();
  jobs::JobProcess process(std::move(child));
  EXPECT_TRUE(process.alive());
  EXPECT_FALSE(process.Ended(Deadline::After(milliseconds(20))));

  ::kill(pid, SIGKILL);

  EXPECT_TRUE(process.Ended(Deadline::After(seconds(5))));
  EXPECT_FALSE(process.alive());
}

TEST(JobProcessTest, AnAdoptedProcessIsTheVeryOneOrNone) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Sleep());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(jobs::ProcessIdentity identity, jobs::IdentifyProcess(child.pid()));
  const jobs::JobProcess adopted(identity);
  EXPECT_TRUE(adopted.alive());

  --identity.start_ticks;
  EXPECT_FALSE(jobs::JobProcess(identity).alive()) << "the PID is somebody else's now";

  ASSERT_THAT(child.Kill(SIGKILL), IsOk());
  EXPECT_TRUE(adopted.Ended(Deadline::After(seconds(5))));
  EXPECT_THAT(child.Wait(Deadline::After(seconds(5))), IsOk());
}

}  // namespace
}  // namespace cryopod::daemon
