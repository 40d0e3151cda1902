#include "restore/restore_container.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/os/file.h"
#include "agent/os/namespaces.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::restore {
namespace {

using test::Soon;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A process with a UTS namespace of its own.
class UtsNamespace {
 public:
  explicit UtsNamespace(const std::string& hostname) {
    int ready[2] = {-1, -1};
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool made =
          ::unshare(CLONE_NEWUTS) == 0 && ::sethostname(hostname.data(), hostname.size()) == 0;
      static_cast<void>(!::write(ready[1], made ? "y" : "n", 1));
      ::pause();
      ::_exit(0);
    }
    char made = 'n';
    EXPECT_EQ(::read(ready[0], &made, 1), 1);
    EXPECT_EQ(made, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~UtsNamespace() { End(); }
  void End() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  std::string path() const { return "/proc/" + std::to_string(pid_) + "/ns/uts"; }
  std::string hostname() const {
    Result<UniqueFd> ns = OpenAt(AT_FDCWD, path(), O_RDONLY);
    EXPECT_THAT(ns, test::IsOk());
    const Result<std::string> name = ReadHostname(ns->get(), Soon());
    return name.ok() ? *name : "";
  }
  void SetHostname(const std::string& name) {
    Result<UniqueFd> ns = OpenAt(AT_FDCWD, path(), O_RDONLY);
    ASSERT_THAT(ns, test::IsOk());
    ASSERT_THAT(WriteHostname(ns->get(), name, Soon()), test::IsOk());
  }

 private:
  pid_t pid_ = 0;
};

class RestoreContainerTest : public ::testing::Test {
 protected:
  std::string job_dir() const { return temp_.path().string(); }
  test::TempDirectory temp_;
};

TEST_F(RestoreContainerTest, AnAttemptHasItsOwnDirectoryAndOptions) {
  const Result<wrapper::Plan> first = PrepareAttempt(job_dir(), "r-1", "/images", "app", 1);
  const Result<wrapper::Plan> second = PrepareAttempt(job_dir(), "r-1", "/images", "app", 2);

  ASSERT_THAT(first, test::IsOk());
  ASSERT_THAT(second, test::IsOk());
  EXPECT_EQ(first->images_dir, "/images");
  EXPECT_EQ(first->operation_id, "r-1");
  EXPECT_NE(first->work_dir, second->work_dir);
  const std::string options = test::ReadText(first->criu_config_file);
  EXPECT_THAT(options, AllOf(HasSubstr("leave-stopped\n"), HasSubstr("tcp-close\n")));
}

TEST_F(RestoreContainerTest, AnAttemptFindsNothingOfAnEarlierOneWithItsNumber) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const wrapper::Plan first,
                               PrepareAttempt(job_dir(), "r-1", "/images", "app", 1));
  test::WriteText(first.work_dir + "/restore.log", "old");

  ASSERT_THAT(PrepareAttempt(job_dir(), "r-1", "/images", "app", 1), test::IsOk());

  EXPECT_FALSE(std::filesystem::exists(first.work_dir + "/restore.log"));
}

TEST_F(RestoreContainerTest, TheHostnameOfThePodIsRememberedAndPutBack) {
  UtsNamespace uts("new-pod");
  wrapper::Request request;
  request.namespace_paths = {{"uts", uts.path()}};
  jobs::ContainerReport container;
  ASSERT_THAT(RememberHostname(request, container, Soon()), test::IsOk());
  uts.SetHostname("old-pod");

  ASSERT_THAT(PutHostnameBack(container, Soon()), test::IsOk());

  EXPECT_EQ(uts.hostname(), "new-pod");
}

TEST_F(RestoreContainerTest, APodOnTheNodesOwnNamespaceKeepsItsHandsOffTheHostname) {
  jobs::ContainerReport container;
  container.hostname = "must not be used";

  ASSERT_THAT(RememberHostname(wrapper::Request(), container, Soon()), test::IsOk());

  EXPECT_EQ(container.hostname, "");
  EXPECT_THAT(PutHostnameBack(container, Soon()), test::IsOk());
}

TEST_F(RestoreContainerTest, ASandboxThatIsGoneIsNoError) {
  jobs::ContainerReport container;
  container.uts_path = "/proc/4194303/ns/uts";
  container.hostname = "pod";

  EXPECT_THAT(PutHostnameBack(container, Soon()), test::IsOk());
}

TEST_F(RestoreContainerTest, AMissingSandboxStopsTheRestoreBeforeItBegins) {
  wrapper::Request request;
  request.namespace_paths = {{"uts", "/proc/4194303/ns/uts"}};
  jobs::ContainerReport container;

  EXPECT_FALSE(RememberHostname(request, container, Soon()).ok());
}

TEST_F(RestoreContainerTest, TheReasonIsCriusOwn) {
  test::WriteText(temp_.path() / "restore.log",
                  "(00.01)      1: Error (criu/files-reg.c:2143): File usr/x has bad size 1\n");

  const Status reason = ReasonOf({false, 1, 0, "the runtime's words"}, job_dir());

  EXPECT_THAT(reason.message(), HasSubstr("bad size"));
}

TEST_F(RestoreContainerTest, WithoutALogItIsTheRuntimesOrAtLeastSomething) {
  EXPECT_EQ(ReasonOf({false, 1, 0, "the runtime's words"}, job_dir()).message(),
            "the runtime's words");
  EXPECT_FALSE(ReasonOf({false, 1, 0, ""}, job_dir()).message().empty());
}

}  // namespace
}  // namespace cryopod::restore
