#include "agent/os/namespaces.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

#include "agent/os/proc.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/os/namespace_holder.h"

namespace cryopod {
namespace {

using std::chrono::milliseconds;
using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using test::StatusIs;
using ::testing::HasSubstr;

class NamespacesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!holder_.ready()) GTEST_SKIP() << "no right to make namespaces";
  }
  test::NamespaceHolder holder_;
  UniqueFd uts_ = holder_.Open("uts");
  UniqueFd ipc_ = holder_.Open("ipc");
};

TEST_F(NamespacesTest, TheActRunsInsideAndItsBytesComeBack) {
  const auto act = []() -> Result<std::string> {
    if (::sethostname("inside", 6) != 0) return ErrnoStatus(errno, "sethostname", "");
    return std::string("bytes\0and more", 14) + std::string(200'000, 'x');
  };

  const Result<std::string> bytes =
      RunInNamespace(uts_.get(), CLONE_NEWUTS, {CAP_SYS_ADMIN}, act, Soon());

  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(bytes->size(), 200'014u);
  EXPECT_EQ(bytes->substr(0, 14), std::string("bytes\0and more", 14));
  utsname ours{};
  ASSERT_EQ(::uname(&ours), 0);
  EXPECT_STRNE(ours.nodename, "inside");
  EXPECT_THAT(ReadHostname(uts_.get(), Soon()), IsOkAnd(std::string("inside")));
  holder_.ExpectNoOtherChild();
}

TEST_F(NamespacesTest, AnErrorOfTheActComesBackAsItIsAndADeathOrAnAnswerAboveTheLimitIsOne) {
  const auto run = [this](const std::function<Result<std::string>()>& act) {
    return RunInNamespace(uts_.get(), CLONE_NEWUTS, {}, act, Soon());
  };

  EXPECT_THAT(run([] { return Status(Code::kAborted, "no more"); }),
              StatusIs(Code::kAborted, "no more"));
  EXPECT_THAT(run([]() -> Result<std::string> { ::_exit(0); }), StatusIs(Code::kInternal));
  EXPECT_THAT(run([] { return std::string(size_t{16} << 20, 'x'); }),
              StatusIs(Code::kResourceExhausted));
  holder_.ExpectNoOtherChild();
}

TEST_F(NamespacesTest, AnActThatHangsIsKilledAtTheDeadline) {
  const auto act = []() -> Result<std::string> {
    while (true) ::pause();
  };

  EXPECT_THAT(RunInNamespace(uts_.get(), CLONE_NEWUTS, {}, act, Deadline::After(milliseconds(100))),
              StatusIs(Code::kDeadlineExceeded));
  holder_.ExpectNoOtherChild();
}

TEST_F(NamespacesTest, TheWrongKindOfNamespaceIsRefused) {
  const auto act = []() -> Result<std::string> { return std::string("ran"); };

  EXPECT_THAT(RunInNamespace(uts_.get(), CLONE_NEWNET, {}, act, Soon()),
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
  ASSERT_THAT(RunInNamespace(ipc_.get(), CLONE_NEWIPC, {}, make, Soon()), IsOk());

  EXPECT_THAT(
      ListSysVIpc(ipc_.get(), Soon()),
      IsOkAnd(std::string("shm key 0x1234 id 0\nmsg key 0xfedcba98 id 0\nsem key 0x0 id 0\n")));
}

TEST_F(NamespacesTest, TheActHasNoCapabilityButThoseThatItIsLeft) {
  const auto status = []() -> Result<std::string> {
    CRYOPOD_ASSIGN_OR_RETURN(const TaskCredentials credentials, ReadTaskCredentials(::getpid()));
    const CapabilitySets& sets = credentials.capabilities;
    return std::to_string(sets.effective) + " " + std::to_string(sets.permitted) + " " +
           std::to_string(sets.inheritable | sets.bounding | sets.ambient) + " " +
           std::to_string(credentials.no_new_privs ? 1 : 0) + " " +
           std::to_string(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  };
  const std::string sys_admin = std::to_string(uint64_t{1} << CAP_SYS_ADMIN);

  EXPECT_THAT(RunInNamespace(uts_.get(), CLONE_NEWUTS, {}, status, Soon()),
              IsOkAnd(std::string("0 0 0 1 0")));
  EXPECT_THAT(RunInNamespace(uts_.get(), CLONE_NEWUTS, {CAP_SYS_ADMIN}, status, Soon()),
              IsOkAnd(sys_admin + " " + sys_admin + " 0 1 0"));
}

}  // namespace
}  // namespace cryopod
