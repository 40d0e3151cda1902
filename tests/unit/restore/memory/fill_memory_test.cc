#include "restore/memory/fill_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <vector>

#include "agent/criu/images/fill_list.h"
#include "agent/os/proc.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using criu::Fill;
using criu::PageBytes;
using test::Soon;
using ::testing::HasSubstr;

constexpr uint64_t kAreaPages = 1024;
constexpr uint32_t kPagesId = 3;

// A stopped process in a cgroup, with an area that nobody has touched, and pages for it.
class FillMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const bool v1 = test::FreezerMount(CgroupVersion::kV1).has_value();
    cgroup_ = std::make_unique<test::TestCgroup>(v1 ? CgroupVersion::kV1 : CgroupVersion::kV2);
    if (!cgroup_->valid()) GTEST_SKIP() << "no cgroup hierarchy that can freeze";
    area_ = Map(PROT_READ | PROT_WRITE);
    read_only_ = Map(PROT_READ);
    container_.cgroup_dir = cgroup_->MakeChild("c1");
    container_.pid = StartProcess();
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessInfo info, ReadProcessInfo(container_.pid));
    container_.start_time_ticks = info.start_time_ticks;
    WritePages(kAreaPages);
  }
  void TearDown() override {
    for (const pid_t pid : children_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    for (const uint64_t area : {area_, read_only_}) {
      if (area != 0) ::munmap(Pointer(area), kAreaPages * PageBytes());
    }
  }

  static void* Pointer(uint64_t address) {
    return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
  }
  static uint64_t Map(int protection) {
    void* area =
        ::mmap(nullptr, kAreaPages * PageBytes(), protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(area, MAP_FAILED);
    return reinterpret_cast<uint64_t>(area);
  }

  // As leave-stopped leaves it.
  pid_t StartProcess() {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::raise(SIGSTOP);
      ::_exit(0);
    }
    children_.push_back(pid);
    EXPECT_EQ(::waitpid(pid, nullptr, WUNTRACED), pid);
    test::WriteText(container_.cgroup_dir + "/cgroup.procs", std::to_string(pid));
    return pid;
  }

  static std::string Page(uint64_t number) {
    std::string page = "page " + std::to_string(number);
    page.resize(PageBytes(), static_cast<char>(number));
    return page;
  }
  static std::string Pages(uint64_t first, uint64_t pages) {
    std::string bytes;
    for (uint64_t page = first; page < first + pages; ++page) bytes += Page(page);
    return bytes;
  }
  void WritePages(uint64_t pages) {
    test::WriteText(temp_.path() / criu::KeptPagesFile(kPagesId), Pages(0, pages));
  }

  Fill FillOf(uint64_t page, uint64_t pages, uint64_t first_in_file) const {
    return {NamespacePid(container_.pid), kPagesId, area_ + page * PageBytes(), pages * PageBytes(),
            first_in_file * PageBytes()};
  }
  static pid_t NamespacePid(pid_t pid) {
    const Result<ProcessInfo> info = ReadProcessInfo(pid);
    return info.ok() && !info->namespace_pids.empty() ? info->namespace_pids.back() : 0;
  }
  Status FillAll(const std::vector<Fill>& fills, Deadline deadline = Soon()) {
    test::WriteText(temp_.path() / criu::kFillListFile, criu::FormatFills(fills));
    return FillMemory(container_, temp_.path().string(), deadline).status();
  }
  std::string Memory(uint64_t page, uint64_t pages) const {
    return Memory(container_.pid, page, pages);
  }
  std::string Memory(pid_t pid, uint64_t page, uint64_t pages) const {
    std::string bytes(pages * PageBytes(), '?');
    const iovec to{bytes.data(), bytes.size()};
    const iovec from{Pointer(area_ + page * PageBytes()), bytes.size()};
    EXPECT_EQ(::process_vm_readv(pid, &to, 1, &from, 1, 0), static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

  test::TempDirectory temp_;
  std::unique_ptr<test::TestCgroup> cgroup_;
  jobs::ContainerReport container_;
  uint64_t area_ = 0;
  uint64_t read_only_ = 0;
  std::vector<pid_t> children_;
};

TEST_F(FillMemoryTest, WithoutAListNothingIsDone) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint64_t filled,
                               FillMemory(container_, temp_.path().string(), Soon()));

  EXPECT_EQ(filled, 0u);
  EXPECT_EQ(Memory(0, 1), std::string(PageBytes(), '\0'));
}

TEST_F(FillMemoryTest, PagesGoWhereTheListSaysAndNowhereElse) {
  // More than one buffer, and not whole ones.
  ASSERT_THAT(FillAll({FillOf(2, 600, 10), FillOf(700, 16, 1000)}), test::IsOk());

  EXPECT_EQ(Memory(2, 600), Pages(10, 600));
  EXPECT_EQ(Memory(700, 16), Pages(1000, 16));
  EXPECT_EQ(Memory(0, 2), std::string(2 * PageBytes(), '\0'));
  EXPECT_EQ(Memory(602, 98), std::string(98 * PageBytes(), '\0'));
}

TEST_F(FillMemoryTest, EveryProcessGetsItsOwn) {
  const pid_t other = StartProcess();
  Fill others = FillOf(0, 300, 300);
  others.pid = NamespacePid(other);

  ASSERT_THAT(FillAll({FillOf(0, 300, 0), others}), test::IsOk());

  EXPECT_EQ(Memory(0, 300), Pages(0, 300));
  EXPECT_EQ(Memory(other, 0, 300), Pages(300, 300));
}

TEST_F(FillMemoryTest, AnAddressWithoutMemoryOrWithSomethingReadOnlyIsAnError) {
  Fill beyond = FillOf(0, 16, 0);
  for (const uint64_t address : {16 * PageBytes(), read_only_}) {
    beyond.address = address;

    const Status status = FillAll({beyond});

    EXPECT_THAT(status, test::StatusIs(Code::kDataLoss, HasSubstr("has no memory of its own")));
    EXPECT_EQ(status.reason(), Reason::kArchiveDamaged);
  }
}

TEST_F(FillMemoryTest, ARunThatBeginsInMemoryAndEndsOutsideIsAnError) {
  Fill across = FillOf(kAreaPages - 8, 16, 0);
  // More than can lie together here.
  across.bytes = uint64_t{1} << 30;
  fs::resize_file(temp_.path() / criu::KeptPagesFile(kPagesId), across.bytes);

  EXPECT_THAT(FillAll({across}), test::StatusIs(Code::kDataLoss));
}

TEST_F(FillMemoryTest, AProcessThatIsNotThereIsNamed) {
  Fill absent = FillOf(0, 16, 0);
  absent.pid = 4'000'000;
  EXPECT_THAT(FillAll({absent}), test::StatusIs(Code::kNotFound, HasSubstr("4000000")));

  container_.start_time_ticks += 1;
  EXPECT_THAT(FillAll({FillOf(0, 16, 0)}), test::StatusIs(Code::kNotFound))
      << "another process with the number of init";
}

TEST_F(FillMemoryTest, AProcessOutsideTheContainerIsNeverWrittenTo) {
  test::WriteText(cgroup_->path() + "/cgroup.procs", std::to_string(container_.pid));
  container_.cgroup_dir = cgroup_->MakeChild("c2");

  EXPECT_THAT(FillAll({FillOf(0, 16, 0)}), test::StatusIs(Code::kNotFound));

  EXPECT_EQ(Memory(0, 16), std::string(16 * PageBytes(), '\0'));
}

TEST_F(FillMemoryTest, AProcessThatHasEndedIsAnError) {
  const std::vector<Fill> fills = {FillOf(0, 16, 0)};
  ASSERT_EQ(::kill(container_.pid, SIGKILL), 0);
  siginfo_t ended;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(container_.pid), &ended, WEXITED | WNOWAIT), 0);

  EXPECT_THAT(FillAll(fills), test::StatusIs(Code::kNotFound));
}

TEST_F(FillMemoryTest, FewerPagesThanListedAreAnErrorBeforeAnythingIsWritten) {
  WritePages(20);

  EXPECT_THAT(FillAll({FillOf(0, 16, 0), FillOf(16, 16, 5)}),
              test::StatusIs(Code::kDataLoss, HasSubstr("fewer pages")));
  EXPECT_THAT(FillAll({FillOf(0, 16, 0), FillOf(16, 16, 21)}), test::StatusIs(Code::kDataLoss));

  EXPECT_EQ(Memory(0, 16), std::string(16 * PageBytes(), '\0'));
}

TEST_F(FillMemoryTest, AListWithoutItsPagesOrWithoutSenseIsAnError) {
  fs::remove(temp_.path() / criu::KeptPagesFile(kPagesId));
  EXPECT_THAT(FillAll({FillOf(0, 16, 0)}), test::StatusIs(Code::kNotFound));

  test::WriteText(temp_.path() / criu::kFillListFile, "rubbish\n");
  EXPECT_THAT(FillMemory(container_, temp_.path().string(), Soon()),
              test::StatusIs(Code::kDataLoss));
}

TEST_F(FillMemoryTest, TheTimeRunsOut) {
  EXPECT_THAT(FillAll({FillOf(0, 16, 0)}, Deadline::After(std::chrono::seconds(-1))),
              test::StatusIs(Code::kDeadlineExceeded));
}

}  // namespace
}  // namespace cryopod::restore
