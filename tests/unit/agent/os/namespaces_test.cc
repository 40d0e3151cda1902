#include "agent/os/namespaces.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "agent/os/file.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using std::chrono::milliseconds;
using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using test::StatusIs;
using ::testing::HasSubstr;

// A process in new UTS, IPC and PID namespaces that waits until the object goes. In the PID
// namespace it is process 1.
class NamespaceHolder {
 public:
  NamespaceHolder() {
    Pipe pipe = MakePipe().value();
    // The first child's children are the ones in the new PID namespace.
    pid_ = ::fork();
    if (pid_ == 0) Hold(pipe.write_end.get());
    pipe.write_end.Reset();
    ready_ = ::read(pipe.read_end.get(), &init_pid_, sizeof init_pid_) == sizeof init_pid_;
  }
  NamespaceHolder(const NamespaceHolder&) = delete;
  NamespaceHolder& operator=(const NamespaceHolder&) = delete;
  ~NamespaceHolder() {
    if (init_pid_ > 0) ::kill(init_pid_, SIGKILL);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }

  bool ready() const { return ready_; }
  void EndInit() {
    ::kill(init_pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    init_pid_ = pid_ = -1;
  }
  UniqueFd Open(const std::string& name) const {
    const std::string path = "/proc/" + std::to_string(init_pid_) + "/ns/" + name;
    return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  }

 private:
  [[noreturn]] static void Hold(int report_fd) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID) != 0) ::_exit(1);
    const pid_t init = ::fork();
    if (init == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      while (true) ::pause();
    }
    if (::write(report_fd, &init, sizeof init) != sizeof init) ::_exit(1);
    ::close(report_fd);
    ::waitpid(init, nullptr, 0);
    ::_exit(0);
  }

  bool ready_ = false;
  pid_t pid_ = -1;
  pid_t init_pid_ = -1;
};

class NamespacesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!holder_.ready()) GTEST_SKIP() << "no right to make namespaces";
  }
  // No child of ours may be left, neither running nor as a zombie: only the holder.
  void ExpectNoChildLeft() {
    holder_.EndInit();
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }

  NamespaceHolder holder_;
  UniqueFd uts_ = holder_.Open("uts");
  UniqueFd ipc_ = holder_.Open("ipc");
  UniqueFd pid_ns_ = holder_.Open("pid");
};

TEST_F(NamespacesTest, TheActRunsInsideAndItsBytesComeBack) {
  const auto act = []() -> Result<std::string> {
    if (::sethostname("inside", 6) != 0) return ErrnoStatus(errno, "sethostname", "");
    return std::string("bytes\0and more", 14) + std::string(200'000, 'x');
  };

  const Result<std::string> bytes = RunInNamespace(uts_.get(), CLONE_NEWUTS, act, Soon());

  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(bytes->size(), 200'014u);
  EXPECT_EQ(bytes->substr(0, 14), std::string("bytes\0and more", 14));
  utsname ours{};
  ASSERT_EQ(::uname(&ours), 0);
  EXPECT_STRNE(ours.nodename, "inside");
  EXPECT_THAT(ReadHostname(uts_.get(), Soon()), IsOkAnd(std::string("inside")));
  ExpectNoChildLeft();
}

TEST_F(NamespacesTest, AnErrorOfTheActComesBackAsItIsAndADeathOrAnAnswerAboveTheLimitIsOne) {
  const auto run = [this](const std::function<Result<std::string>()>& act) {
    return RunInNamespace(uts_.get(), CLONE_NEWUTS, act, Soon());
  };

  EXPECT_THAT(run([] { return Status(Code::kAborted, "no more"); }),
              StatusIs(Code::kAborted, "no more"));
  EXPECT_THAT(run([]() -> Result<std::string> { ::_exit(0); }), StatusIs(Code::kInternal));
  EXPECT_THAT(run([] { return std::string(size_t{16} << 20, 'x'); }),
              StatusIs(Code::kResourceExhausted));
  ExpectNoChildLeft();
}

TEST_F(NamespacesTest, AnActThatHangsIsKilledAtTheDeadline) {
  const auto act = []() -> Result<std::string> {
    while (true) ::pause();
  };

  EXPECT_THAT(RunInNamespace(uts_.get(), CLONE_NEWUTS, act, Deadline::After(milliseconds(100))),
              StatusIs(Code::kDeadlineExceeded));
  ExpectNoChildLeft();
}

TEST_F(NamespacesTest, AnActThatHangsInAPidNamespaceIsKilledToo) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe pipe, MakePipe());
  const auto act = []() -> Result<std::string> {
    while (true) ::pause();
  };

  EXPECT_THAT(RunInNamespace(pid_ns_.get(), CLONE_NEWPID, act, Deadline::After(milliseconds(100))),
              StatusIs(Code::kDeadlineExceeded));

  // Every process that could hold the other end has ended.
  pipe.write_end.Reset();
  EXPECT_THAT(ReadAll(pipe.read_end.get(), 1), IsOkAnd(std::string()));
  ExpectNoChildLeft();
}

TEST_F(NamespacesTest, TheWrongKindOfNamespaceIsRefused) {
  const auto act = []() -> Result<std::string> { return std::string("ran"); };

  EXPECT_THAT(RunInNamespace(uts_.get(), CLONE_NEWNET, act, Soon()),
              StatusIs(Code::kInvalidArgument, HasSubstr("setns")));
}

TEST_F(NamespacesTest, TheHostNameIsThatOfTheNamespace) {
  ASSERT_THAT(WriteHostname(uts_.get(), "web-0", Soon()), IsOk());

  EXPECT_THAT(ReadHostname(uts_.get(), Soon()), IsOkAnd(std::string("web-0")));
  utsname ours{};
  ASSERT_EQ(::uname(&ours), 0);
  EXPECT_STRNE(ours.nodename, "web-0");
}

TEST_F(NamespacesTest, AHostNameThatIsTooLongIsRefused) {
  EXPECT_THAT(WriteHostname(uts_.get(), std::string(300, 'x'), Soon()),
              StatusIs(Code::kInvalidArgument, HasSubstr("host name")));
}

TEST_F(NamespacesTest, ListsEveryKindOfIpcObject) {
  const auto make = []() -> Result<std::string> {
    if (::shmget(0x1234, 4096, IPC_CREAT | 0600) < 0) return ErrnoStatus(errno, "shmget", "");
    if (::msgget(static_cast<key_t>(0xfedcba98), IPC_CREAT | 0600) < 0)
      return ErrnoStatus(errno, "msgget", "");
    if (::semget(IPC_PRIVATE, 1, IPC_CREAT | 0600) < 0) return ErrnoStatus(errno, "semget", "");
    return std::string();
  };
  EXPECT_THAT(ListSysVIpc(ipc_.get(), Soon()), IsOkAnd(std::string()));
  ASSERT_THAT(RunInNamespace(ipc_.get(), CLONE_NEWIPC, make, Soon()), IsOk());

  EXPECT_THAT(
      ListSysVIpc(ipc_.get(), Soon()),
      IsOkAnd(std::string("shm key 0x1234 id 0\nmsg key 0xfedcba98 id 0\nsem key 0x0 id 0\n")));
}

TEST_F(NamespacesTest, TheLastPidStaysWhenNothingIsBorn) {
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, LastPid::Enter(pid_ns_.get(), Soon()));

    CRYOPOD_ASSERT_OK_AND_ASSIGN(const pid_t first, last.Read(Soon()));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const pid_t second, last.Read(Soon()));

    EXPECT_EQ(first, 2);  // the holder is 1, the process that tells is 2
    EXPECT_EQ(second, first);
  }
  ExpectNoChildLeft();
}

TEST_F(NamespacesTest, AProcessThatCameAndWentShowsInTheLastPid) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer starts a thread, which takes a PID, in every forked child";
#endif
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, LastPid::Enter(pid_ns_.get(), Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const pid_t first, last.Read(Soon()));
  const auto come_and_go = []() -> Result<std::string> { return std::string(); };
  ASSERT_THAT(RunInNamespace(pid_ns_.get(), CLONE_NEWPID, come_and_go, Soon()), IsOk());

  EXPECT_THAT(last.Read(Soon()), IsOkAnd(first + 1));
}

TEST_F(NamespacesTest, TheProcessThatTellsTheLastPidHoldsNoDescriptorOfOurs) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe pipe, MakePipe());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, LastPid::Enter(pid_ns_.get(), Soon()));
  ASSERT_THAT(last.Read(Soon()), IsOk());

  pipe.write_end.Reset();

  EXPECT_THAT(ReadAll(pipe.read_end.get(), 1), IsOkAnd(std::string()));
}

TEST_F(NamespacesTest, ANamespaceThatEndsEndsTheProcessInItAndThatIsSaid) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, LastPid::Enter(pid_ns_.get(), Soon()));

  holder_.EndInit();

  EXPECT_THAT(last.Read(Soon()), StatusIs(Code::kUnavailable, HasSubstr("has been ended")));
  EXPECT_THAT(LastPid::Enter(pid_ns_.get(), Soon()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("first process has ended")));
}

}  // namespace
}  // namespace cryopod
