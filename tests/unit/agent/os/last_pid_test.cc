#include "agent/os/last_pid/last_pid.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "agent/os/directory.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/os/namespace_holder.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class LastPidTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!holder_.ready()) GTEST_SKIP() << "no right to make namespaces";
  }
  Result<LastPid> Enter() const { return LastPid::Enter(pidfd_.get(), Soon()); }

  // As a fork of a container's first process: it comes and goes.
  void BearAndEnd() const {
    const pid_t between = ::fork();
    if (between == 0) {
      const bool inside = ::setns(pidfd_.get(), CLONE_NEWPID) == 0;
      const pid_t born = inside ? ::fork() : -1;
      if (born == 0) ::_exit(0);
      ::_exit(born > 0 && ::waitpid(born, nullptr, 0) == born ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(between, &status, 0), between);
    ASSERT_EQ(status, 0);
  }

  // The process in the namespace that is not its first; 0 when there is none.
  pid_t FindInside() const {
    const Result<std::vector<DirectoryEntry>> entries = ListDirectory("/proc");
    if (!entries.ok()) return 0;
    for (const DirectoryEntry& entry : *entries) {
      pid_t pid = 0;
      if (!ParseNumber(entry.name, pid) || pid == holder_.init()) continue;
      const Result<uint64_t> inode = NamespaceInode(pid, "pid");
      if (inode.ok() && *inode == pid_namespace_) return pid;
    }
    return 0;
  }

  test::NamespaceHolder holder_;
  UniqueFd pidfd_ = OpenPidfd(holder_.init()).value();
  uint64_t pid_namespace_ = NamespaceInode(holder_.init(), "pid").value();
};

std::string Link(const std::string& path) { return ReadLinkAt(AT_FDCWD, path).value(); }

std::vector<std::string> Names(const std::string& directory) {
  const std::vector<DirectoryEntry> entries = ListDirectory(directory).value();
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : entries) names.push_back(entry.name);
  std::ranges::sort(names);
  return names;
}

TEST_F(LastPidTest, TheLastPidStaysWhenNothingIsBorn) {
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, Enter());

    CRYOPOD_ASSERT_OK_AND_ASSIGN(const pid_t first, last.Read(Soon()));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const pid_t second, last.Read(Soon()));

    EXPECT_EQ(first, 2);  // the holder is 1, the process that tells is 2
    EXPECT_EQ(second, first);
  }
  holder_.ExpectNoOtherChild();
}

TEST_F(LastPidTest, AProcessThatCameAndWentShowsInTheLastPid) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer starts a thread, which takes a PID, in every forked child";
#endif
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, Enter());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const pid_t first, last.Read(Soon()));

  BearAndEnd();

  EXPECT_THAT(last.Read(Soon()), IsOkAnd(first + 1));
}

TEST_F(LastPidTest, TheProcessInsideHasNoUserAndNoRight) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, Enter());
  const pid_t inside = FindInside();
  ASSERT_GT(inside, 0);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const TaskCredentials credentials, ReadTaskCredentials(inside));
  const CapabilitySets& sets = credentials.capabilities;
  EXPECT_EQ(sets.effective | sets.permitted | sets.inheritable | sets.bounding | sets.ambient, 0u);
  EXPECT_TRUE(credentials.no_new_privs);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string status,
                               ReadFile("/proc/" + std::to_string(inside) + "/status"));
  EXPECT_THAT(status, HasSubstr("\nUid:\t4000000000\t4000000000\t4000000000\t4000000000\n"));
  EXPECT_THAT(status, HasSubstr("\nGid:\t4000000000\t4000000000\t4000000000\t4000000000\n"));
  EXPECT_THAT(status, HasSubstr("\nGroups:\t \n"));
  EXPECT_THAT(status, HasSubstr("\nSeccomp:\t2\n"));
  // The files of a process that can be dumped belong to its user.
  struct stat info {};
  ASSERT_EQ(::stat(("/proc/" + std::to_string(inside) + "/environ").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0u);
}

TEST_F(LastPidTest, NothingOfTheNodeIsToBeHadFromTheProcessInside) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, Enter());
  const pid_t inside = FindInside();
  ASSERT_GT(inside, 0);
  const std::string proc = "/proc/" + std::to_string(inside) + "/";

  EXPECT_THAT(Names(proc + "root"), IsEmpty());
  EXPECT_THAT(Names(proc + "root/.."), IsEmpty());
  EXPECT_THAT(Names(proc + "cwd"), IsEmpty());
  EXPECT_THAT(ReadFile(proc + "environ"), IsOkAnd(std::string()));
  for (const std::string kind : {"mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
    EXPECT_EQ(NamespaceInode(inside, kind).value(), NamespaceInode(holder_.init(), kind).value())
        << kind;
  }
}

TEST_F(LastPidTest, TheProcessInsideHoldsPipesAndAFileThatCannotBeOpenedForWriting) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, Enter());
  const pid_t inside = FindInside();
  ASSERT_GT(inside, 0);
  const std::string fd = "/proc/" + std::to_string(inside) + "/fd";

  EXPECT_THAT(Names(fd), ElementsAre("0", "1", "2"));
  EXPECT_THAT(Link(fd + "/0"), StartsWith("pipe:"));
  EXPECT_THAT(Link(fd + "/1"), StartsWith("pipe:"));
  EXPECT_EQ(::open((fd + "/2").c_str(), O_WRONLY | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(LastPidTest, TheProgramInsideIsNoFileAndStaysAsItIs) {
  UniqueFd program;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, Enter());
    const std::string exe = "/proc/" + std::to_string(FindInside()) + "/exe";
    EXPECT_THAT(Link(exe), StartsWith("/memfd:"));
    program = UniqueFd(::open(exe.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(program.valid());
  }
  // Nobody executes it any more, which would have kept everybody from writing.
  const std::string path = "/proc/self/fd/" + std::to_string(program.get());
  const UniqueFd writable(::open(path.c_str(), O_RDWR | O_CLOEXEC));

  EXPECT_EQ(::pwrite(writable.get(), "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
}

// A watcher that has the node's view, and so loses no time.
TEST_F(LastPidTest, TheProcessInsideIsNobodyFromTheInstantThatItIsSeen) {
  std::atomic<bool> done = false;
  int seen = 0;
  int with_rights = 0;
  std::thread watcher([&] {
    while (!done) {
      const pid_t inside = FindInside();
      const std::string status = "/proc/" + std::to_string(inside) + "/status";
      const Result<std::string> text = inside > 0 ? ReadFile(status) : std::string();
      if (!text.ok() || text->empty()) continue;
      ++seen;
      if (text->find("\nUid:\t4000000000\t") == std::string::npos ||
          text->find("\nCapPrm:\t0000000000000000\n") == std::string::npos ||
          text->find("\nSeccomp:\t2\n") == std::string::npos) {
        ++with_rights;
      }
    }
  });

  for (int i = 0; i < 20; ++i) EXPECT_THAT(Enter(), IsOk());
  done = true;
  watcher.join();

  EXPECT_GT(seen, 0);
  EXPECT_EQ(with_rights, 0);
}

TEST_F(LastPidTest, WhoTracesTheProcessInsideKeepsNobodyWaiting) {
  pid_t inside = 0;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, Enter());
    inside = FindInside();
    ASSERT_EQ(::ptrace(PTRACE_SEIZE, inside, nullptr, nullptr), 0);
    ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, inside, nullptr, nullptr), 0);

    EXPECT_THAT(last.Read(Deadline::After(std::chrono::milliseconds(100))),
                StatusIs(Code::kDeadlineExceeded));
    EXPECT_THAT(last.Read(Deadline::After(std::chrono::minutes(5))),
                StatusIs(Code::kUnavailable, HasSubstr("somebody holds it")));
  }
  while (::waitpid(inside, nullptr, __WALL) == inside) {
  }
  holder_.ExpectNoOtherChild();
}

TEST_F(LastPidTest, TheProcessInsideEndsWithTheProcessThatMadeIt) {
  const pid_t maker = ::fork();
  if (maker == 0) {
    const Result<LastPid> last = Enter();
    ::_exit(last.ok() && last->Read(Soon()).ok() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(maker, &status, 0), maker);
  EXPECT_EQ(status, 0);

  const Deadline deadline = Soon();
  while (FindInside() != 0 && !deadline.expired()) std::this_thread::yield();

  EXPECT_EQ(FindInside(), 0);
}

TEST_F(LastPidTest, ANamespaceThatEndsEndsTheProcessInItAndThatIsSaid) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LastPid last, Enter());

  holder_.EndInit();

  EXPECT_THAT(last.Read(Soon()), StatusIs(Code::kUnavailable, HasSubstr("has been ended")));
  EXPECT_THAT(Enter(), StatusIs(Code::kFailedPrecondition, HasSubstr("first process has ended")));
}

}  // namespace
}  // namespace cryopod
