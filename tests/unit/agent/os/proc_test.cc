#include "agent/os/proc.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <optional>
#include <thread>

#include "agent/os/file.h"
#include "agent/os/mount_info.h"
#include "agent/os/subprocess.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::IsOkAnd;
using test::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr pid_t kNoProcess = 0x3fffff;  // above the largest pid_max

// With a process that waits, and is killed at the end.
class ProcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SpawnOptions options;
    options.argv = {"/bin/sleep", "60"};
    Result<Subprocess> child = Subprocess::Spawn(options);
    ASSERT_THAT(child, IsOk());
    child_.emplace(std::move(child).value());
  }
  void TearDown() override {
    EXPECT_THAT(child_->Kill(SIGKILL), IsOk());
    EXPECT_THAT(child_->Wait(test::Soon()), IsOk());
  }
  pid_t pid() const { return child_->pid(); }

  std::optional<Subprocess> child_;
};

TEST(ParseProcStatTest, TakesACommandThatLooksLikeTheRest) {
  const std::string tail =
      "S 17 100 99 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654321 1 2 3 4 5 6 7 8 9";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessInfo info,
                               ParseProcStat("4242 (a) R 1 (\n) " + tail + "\n"));

  EXPECT_EQ(info.pid, 4242);
  EXPECT_EQ(info.command, "a) R 1 (\n");
  EXPECT_EQ(info.state, 'S');
  EXPECT_EQ(info.parent_pid, 17);
  EXPECT_EQ(info.group, 100);
  EXPECT_EQ(info.session, 99);
  EXPECT_EQ(info.start_time_ticks, 987654321u);
}

TEST(ParseProcStatTest, RefusesWhatIsCutShort) {
  for (const char* text : {"", "4242 (a", "4242 (a) S 17 100", ") (4242"}) {
    EXPECT_THAT(ParseProcStat(text), StatusIs(Code::kDataLoss)) << text;
  }
}

TEST_F(ProcTest, TellsWhoAProcessIsAndWhoTracesIt) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessInfo info, ReadProcessInfo(pid()));

  EXPECT_EQ(info.pid, pid());
  EXPECT_EQ(info.parent_pid, ::getpid());
  EXPECT_EQ(info.group, ::getpgid(pid()));
  EXPECT_EQ(info.session, ::getsid(pid()));
  EXPECT_EQ(info.command, "sleep");
  EXPECT_EQ(info.uid, ::getuid());
  EXPECT_EQ(info.tracer_pid, 0);
  EXPECT_GT(info.start_time_ticks, 0u);
  ASSERT_FALSE(info.namespace_pids.empty());
  EXPECT_EQ(info.namespace_pids.front(), pid());
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, pid(), nullptr, nullptr), 0);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessInfo traced, ReadProcessInfo(pid()));
  EXPECT_EQ(traced.tracer_pid, ::getpid());
}

TEST_F(ProcTest, ListsTimersWithTheThreadThatTheySignal) {
  struct sigevent event {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGUSR2;
  event._sigev_un._tid = ::getpid();
  timer_t to_thread = nullptr;
  timer_t to_process = nullptr;
  ASSERT_EQ(::timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &to_thread), 0);
  ASSERT_EQ(::timer_create(CLOCK_MONOTONIC, nullptr, &to_process), 0);

  const Result<std::vector<PosixTimer>> timers = ReadPosixTimers(::getpid());

  ::timer_delete(to_thread);
  ::timer_delete(to_process);
  if (timers.status().code() == Code::kNotFound) GTEST_SKIP() << "no CONFIG_CHECKPOINT_RESTORE";
  ASSERT_THAT(timers, IsOk());
  EXPECT_THAT(*timers,
              ::testing::UnorderedElementsAre(::testing::FieldsAre(0, ::getpid(), -2),
                                              ::testing::FieldsAre(1, 0, CLOCK_MONOTONIC)));
  EXPECT_THAT(ReadPosixTimers(::getpid()), IsOkAnd(::testing::IsEmpty()));
}

TEST(ParsePosixTimersTest, RefusesWhatIsMalformed) {
  EXPECT_THAT(ParsePosixTimers("signal: 1/0\n"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParsePosixTimers("ID: 0\nnotify: signal/tid.x\n"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParsePosixTimers(""), IsOkAnd(::testing::IsEmpty()));
}

TEST_F(ProcTest, AZombieIsSeenAsOne) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);

  const Result<ProcessInfo> zombie = ReadProcessInfo(pid);
  const Result<uint64_t> bytes = DumpableBytes(pid);

  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
  ASSERT_THAT(zombie, IsOk());
  EXPECT_EQ(zombie->state, 'Z');
  EXPECT_THAT(bytes, IsOkAnd(uint64_t{0}));
}

TEST_F(ProcTest, AProcessThatIsNotThereIsNotFound) {
  EXPECT_THAT(ReadProcessInfo(kNoProcess), StatusIs(Code::kNotFound));
  EXPECT_THAT(ListThreads(kNoProcess), StatusIs(Code::kNotFound));
  EXPECT_THAT(ReadThreadGroup(kNoProcess), StatusIs(Code::kNotFound));
  EXPECT_THAT(ReadProcLink(kNoProcess, "root"), StatusIs(Code::kNotFound));
  EXPECT_THAT(NamespaceInode(kNoProcess, "net"), StatusIs(Code::kNotFound));
  EXPECT_THAT(ReadFileMappings(kNoProcess), StatusIs(Code::kNotFound));
  EXPECT_THAT(DumpableBytes(kNoProcess), StatusIs(Code::kNotFound));
  EXPECT_THAT(ReadMountInfo(kNoProcess), StatusIs(Code::kNotFound));
  EXPECT_THAT(ListDescriptors(kNoProcess), StatusIs(Code::kNotFound));
}

TEST_F(ProcTest, ListsThreadsAndTheirProcess) {
  std::thread([] {
    EXPECT_THAT(ReadThreadGroup(::gettid()), IsOkAnd(::getpid()));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<pid_t> listed, ListThreads(::getpid()));
    EXPECT_THAT(listed, Contains(::gettid()));
    EXPECT_THAT(listed, Contains(::getpid()));
    EXPECT_TRUE(std::ranges::is_sorted(listed));
  }).join();
}

TEST_F(ProcTest, ReadsWhereALinkPoints) {
  EXPECT_THAT(ReadProcLink(pid(), "root"), IsOkAnd(std::string("/")));
  EXPECT_THAT(ReadProcLink(pid(), "fd/0"), IsOkAnd(std::string("/dev/null")));
  EXPECT_THAT(ReadProcLink(pid(), "fd/77"), StatusIs(Code::kNotFound));
}

TEST_F(ProcTest, ProcessesThatShareANamespaceShowTheSameInode) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint64_t ours, NamespaceInode(::getpid(), "net"));
  EXPECT_THAT(NamespaceInode(pid(), "net"), IsOkAnd(ours));
  EXPECT_THAT(NamespaceInode("/proc/self/ns/net"), IsOkAnd(ours));
  EXPECT_THAT(NamespaceInode("/proc/self/ns/uts"), IsOkAnd(::testing::Ne(ours)));
}

TEST_F(ProcTest, ListsDescriptorsInOrder) {
  // A program that has just been started still reads its libraries.
  const Deadline deadline = test::Soon();
  Result<std::vector<int>> numbers = ListDescriptors(pid());
  while (numbers.ok() && numbers->size() > 3 && !deadline.expired()) {
    numbers = ListDescriptors(pid());
  }

  EXPECT_THAT(numbers, IsOkAnd(ElementsAre(0, 1, 2)));
}

TEST_F(ProcTest, ShowsFilesThatAreMapped) {
  test::TempDirectory temp;
  const std::string path = temp.path() / "a b\nc";
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(file.get(), 4096), 0);
  void* mapped = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);

  const Result<std::vector<FileMapping>> mappings = ReadFileMappings(::getpid());
  ::unlink(path.c_str());
  const Result<std::vector<FileMapping>> after_unlink = ReadFileMappings(::getpid());

  ::munmap(mapped, 4096);
  const auto shared_at = [](const std::string& name) {
    return Contains(::testing::AllOf(::testing::Field(&FileMapping::path, name),
                                     ::testing::Field(&FileMapping::permissions, "rw-s")));
  };
  EXPECT_THAT(mappings, IsOkAnd(shared_at(path)));
  EXPECT_THAT(after_unlink, IsOkAnd(shared_at(path + " (deleted)")));
}

TEST_F(ProcTest, CountsThePrivateAndSharedMemoryThatADumpHolds) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer's shadow is memory too";
#endif
  constexpr size_t kBytes = size_t{32} << 20;
  for (const int kind : {MAP_PRIVATE, MAP_SHARED}) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint64_t before, DumpableBytes(::getpid()));
    void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    std::fill_n(static_cast<char*>(memory), kBytes, 'x');

    const Result<uint64_t> after = DumpableBytes(::getpid());

    ::munmap(memory, kBytes);
    EXPECT_THAT(after, IsOkAnd(::testing::Ge(before + kBytes)));
    EXPECT_THAT(after, IsOkAnd(::testing::Lt(before + kBytes + (8u << 20))));
  }
}

TEST_F(ProcTest, SomeMemoryIsAvailable) {
  EXPECT_THAT(AvailableMemoryBytes(), IsOkAnd(::testing::Gt(uint64_t{1} << 20)));
}

constexpr char kStatus[] =
    "Name:\tsleep\nState:\tS (sleeping)\nUid:\t1000\t1001\t1002\t1003\nGid:\t7\t8\t9\t10\n"
    "Groups:\t7 20 \nNStgid:\t9\nCapInh:\t0000000000000001\nCapPrm:\t0000000000000003\n"
    "CapEff:\t0000000000000002\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n"
    "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

std::string Without(const std::string& line) {
  std::string text = kStatus;
  const size_t begin = text.find(line);
  return text.erase(begin, text.find('\n', begin) + 1 - begin);
}

TEST(CredentialsTest, EveryFieldOfTheStatusFileIsRead) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const TaskCredentials read, ParseTaskCredentials(kStatus));

  EXPECT_EQ(read.uids[0], 1000u);
  EXPECT_EQ(read.uids[3], 1003u);
  EXPECT_EQ(read.gids[1], 8u);
  EXPECT_THAT(read.groups, ElementsAre(7u, 20u));
  EXPECT_EQ(read.capabilities.inheritable, 1u);
  EXPECT_EQ(read.capabilities.permitted, 3u);
  EXPECT_EQ(read.capabilities.effective, 2u);
  EXPECT_EQ(read.capabilities.bounding, 0x1ffffffffffu);
  EXPECT_EQ(read.capabilities.ambient, 0u);
  EXPECT_TRUE(read.no_new_privs);
  EXPECT_EQ(read.seccomp_mode, 2);
}

TEST(CredentialsTest, AFieldThatIsMissingOrNoNumberIsNamed) {
  for (const std::string field : {"Uid", "Gid", "Groups", "CapBnd", "NoNewPrivs", "Seccomp"}) {
    EXPECT_THAT(ParseTaskCredentials(Without(field + ":")),
                StatusIs(Code::kDataLoss, HasSubstr(field)));
  }
  std::string text = kStatus;
  text.replace(text.find("1001"), 4, "root");
  EXPECT_THAT(ParseTaskCredentials(text), StatusIs(Code::kDataLoss, HasSubstr("Uid")));
}

TEST(CredentialsTest, ATaskMayHaveNoSupplementaryGroups) {
  std::string text = kStatus;
  text.replace(text.find("7 20 \n"), 5, " ");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const TaskCredentials read, ParseTaskCredentials(text));

  EXPECT_TRUE(read.groups.empty());
}

TEST(CredentialsTest, NoNewPrivsOfALivingChildIsSeen) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, WUNTRACED), child);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const TaskCredentials ours, ReadTaskCredentials(::getpid()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const TaskCredentials theirs, ReadTaskCredentials(child));

  EXPECT_TRUE(theirs.no_new_privs);
  EXPECT_EQ(theirs.uids[0], ::getuid());
  EXPECT_EQ(theirs.capabilities, ours.capabilities);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_THAT(ReadTaskCredentials(child), StatusIs(Code::kNotFound));
}

TEST(CredentialsTest, NamesAndNumbersOfCapabilitiesAgree) {
  EXPECT_EQ(CapabilityNumber("CAP_CHOWN"), 0);
  EXPECT_EQ(CapabilityNumber("CAP_SYS_ADMIN"), 21);
  EXPECT_EQ(CapabilityNumber("CAP_CHECKPOINT_RESTORE"), 40);
  EXPECT_EQ(CapabilityNumber("CAP_OF_TOMORROW"), std::nullopt);
  EXPECT_EQ(FirstCapabilityName(uint64_t{1} << 12), "CAP_NET_ADMIN");
  EXPECT_EQ(FirstCapabilityName(uint64_t{1} << 50), "a capability without a name");
}

}  // namespace
}  // namespace cryopod
