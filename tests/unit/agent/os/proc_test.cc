#include "agent/os/proc.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <thread>

#include "agent/os/file.h"
#include "agent/os/mount_info.h"
#include "agent/os/subprocess.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using std::chrono::seconds;
using test::IsOk;
using test::IsOkAnd;
using test::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAre;

constexpr pid_t kNoProcess = 0x3fffff;  // above the largest pid_max

// A process of ours that waits to be killed.
class WaitingChild {
 public:
  WaitingChild() {
    SpawnOptions options;
    options.argv = {"/bin/sleep", "60"};
    Result<Subprocess> child = Subprocess::Spawn(options);
    if (!child.ok()) {
      ADD_FAILURE() << child.status().message();
    } else {
      child_.push_back(std::move(child).value());
    }
  }
  WaitingChild(const WaitingChild&) = delete;
  WaitingChild& operator=(const WaitingChild&) = delete;
  ~WaitingChild() {
    for (Subprocess& child : child_) {
      EXPECT_THAT(child.Kill(SIGKILL), IsOk());
      EXPECT_THAT(child.Wait(Deadline::After(seconds(10))), IsOk());
    }
  }
  pid_t pid() const { return child_.empty() ? -1 : child_.front().pid(); }

 private:
  std::vector<Subprocess> child_;
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
  EXPECT_THAT(ParseProcStat(""), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseProcStat("4242 (a"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseProcStat("4242 (a) S 17 100"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseProcStat(") (4242"), StatusIs(Code::kDataLoss));
}

TEST(ProcTest, TellsWhoAProcessIs) {
  const WaitingChild child;

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessInfo info, ReadProcessInfo(child.pid()));

  EXPECT_EQ(info.pid, child.pid());
  EXPECT_EQ(info.parent_pid, ::getpid());
  EXPECT_EQ(info.group, ::getpgid(child.pid()));
  EXPECT_EQ(info.session, ::getsid(child.pid()));
  EXPECT_EQ(info.command, "sleep");
  EXPECT_EQ(info.uid, ::getuid());
  EXPECT_EQ(info.tracer_pid, 0);
  EXPECT_GT(info.start_time_ticks, 0u);
  ASSERT_FALSE(info.namespace_pids.empty());
  EXPECT_EQ(info.namespace_pids.front(), child.pid());
}

TEST(ProcTest, ListsTimersWithTheThreadThatTheySignal) {
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

TEST(ProcTest, NamesTheTracer) {
  const WaitingChild child;
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, child.pid(), nullptr, nullptr), 0);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessInfo info, ReadProcessInfo(child.pid()));

  EXPECT_EQ(info.tracer_pid, ::getpid());
}

TEST(ProcTest, AZombieIsSeenAsOne) {
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

TEST(ProcTest, AProcessThatIsNotThereIsNotFound) {
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

TEST(ProcTest, ListsThreadsAndTheirProcess) {
  pid_t thread_id = -1;
  std::vector<pid_t> listed;
  pid_t process = -1;
  std::thread([&] {
    thread_id = ::gettid();
    const Result<std::vector<pid_t>> threads = ListThreads(::getpid());
    if (threads.ok()) listed = *threads;
    const Result<pid_t> group = ReadThreadGroup(thread_id);
    if (group.ok()) process = *group;
  }).join();

  EXPECT_THAT(listed, Contains(thread_id));
  EXPECT_THAT(listed, Contains(::getpid()));
  EXPECT_TRUE(std::is_sorted(listed.begin(), listed.end()));
  EXPECT_EQ(process, ::getpid());
}

TEST(ProcTest, ReadsWhereALinkPoints) {
  const WaitingChild child;

  EXPECT_THAT(ReadProcLink(child.pid(), "root"), IsOkAnd(std::string("/")));
  EXPECT_THAT(ReadProcLink(child.pid(), "fd/0"), IsOkAnd(std::string("/dev/null")));
  EXPECT_THAT(ReadProcLink(child.pid(), "fd/77"), StatusIs(Code::kNotFound));
}

TEST(ProcTest, ProcessesThatShareANamespaceShowTheSameInode) {
  const WaitingChild child;

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint64_t ours, NamespaceInode(::getpid(), "net"));
  EXPECT_THAT(NamespaceInode(child.pid(), "net"), IsOkAnd(ours));
  EXPECT_THAT(NamespaceInode("/proc/self/ns/net"), IsOkAnd(ours));
  EXPECT_THAT(NamespaceInode("/proc/self/ns/uts"), IsOkAnd(::testing::Ne(ours)));
}

TEST(ProcTest, ListsDescriptorsInOrder) {
  const WaitingChild child;

  // A program that has just been started still reads its libraries.
  const Deadline deadline = Deadline::After(seconds(10));
  Result<std::vector<int>> numbers = ListDescriptors(child.pid());
  while (numbers.ok() && numbers->size() > 3 && !deadline.expired()) {
    numbers = ListDescriptors(child.pid());
  }

  EXPECT_THAT(numbers, IsOkAnd(ElementsAre(0, 1, 2)));
}

TEST(ProcTest, ShowsFilesThatAreMapped) {
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

TEST(ProcTest, CountsThePrivateMemoryThatADumpHolds) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer's shadow is memory too";
#endif
  constexpr size_t kBytes = size_t{32} << 20;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint64_t before, DumpableBytes(::getpid()));
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::fill_n(static_cast<char*>(memory), kBytes, 'x');

  const Result<uint64_t> after = DumpableBytes(::getpid());

  ::munmap(memory, kBytes);
  EXPECT_THAT(after, IsOkAnd(::testing::Ge(before + kBytes)));
  EXPECT_THAT(after, IsOkAnd(::testing::Lt(before + kBytes + (8u << 20))));
}

TEST(ProcTest, CountsSharedMemoryToo) {
  constexpr size_t kBytes = size_t{16} << 20;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint64_t before, DumpableBytes(::getpid()));
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::fill_n(static_cast<char*>(memory), kBytes, 'x');

  const Result<uint64_t> after = DumpableBytes(::getpid());

  ::munmap(memory, kBytes);
  EXPECT_THAT(after, IsOkAnd(::testing::Ge(before + kBytes)));
}

TEST(ProcTest, SomeMemoryIsAvailable) {
  const Result<uint64_t> bytes = AvailableMemoryBytes();

  EXPECT_THAT(bytes, IsOkAnd(::testing::Gt(uint64_t{1} << 20)));
}

}  // namespace
}  // namespace cryopod
