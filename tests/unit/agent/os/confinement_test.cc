#include "agent/os/confinement.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>

#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

constexpr int kGaveUpNothing = 99;

// Runs in a process of its own what could not be taken back; its exit code. A signal is told as
// its negative number.
int InChild(const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(act());
  int how = 0;
  EXPECT_EQ(::waitpid(child, &how, 0), child);
  return WIFSIGNALED(how) ? -WTERMSIG(how) : WEXITSTATUS(how);
}

// errno of a call that failed, else 0.
int ErrorOf(long result) { return result < 0 ? errno : 0; }

bool KernelHasLandlock() {
  return InChild([] { return GiveUpOtherPlaces({}).ok() ? 0 : 1; }) == 0 &&
         ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) > 0;
}

class PlacesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!KernelHasLandlock()) GTEST_SKIP() << "a kernel without Landlock";
    ASSERT_EQ(::mkdir(Path("inside").c_str(), 0700), 0);
    ASSERT_EQ(::mkdir(Path("outside").c_str(), 0700), 0);
    test::WriteText(Path("inside/file"), "in");
    test::WriteText(Path("outside/file"), "out");
  }
  std::string Path(const std::string& name) const { return temp_.path() / name; }
  // The answer of `act` where only "inside" can be reached.
  int WithInsideOnly(bool writable, const std::function<int()>& act) const {
    return InChild([&] {
      const int dir = ::open(Path("inside").c_str(), O_PATH | O_CLOEXEC);
      const Result<int> version = GiveUpOtherPlaces({{{dir, writable}}, {}, {}});
      return version.ok() && *version > 0 ? act() : kGaveUpNothing;
    });
  }
  int ErrorOfOpening(bool writable, const std::string& path, int flags) const {
    return WithInsideOnly(
        writable, [&] { return ErrorOf(::open(Path(path).c_str(), flags | O_CLOEXEC, 0600)); });
  }

  test::TempDirectory temp_;
};

TEST_F(PlacesTest, WhatIsOutsideCannotBeOpened) {
  EXPECT_EQ(ErrorOfOpening(true, "outside/file", O_RDONLY), EACCES);
  EXPECT_EQ(ErrorOfOpening(true, "/proc/self/mem", O_RDONLY), EACCES);
}

TEST_F(PlacesTest, WhatIsInsideCanBeReadAndWhenWritableMade) {
  EXPECT_EQ(ErrorOfOpening(false, "inside/file", O_RDONLY), 0);
  EXPECT_EQ(ErrorOfOpening(false, "inside/file", O_RDWR), EACCES);
  EXPECT_EQ(ErrorOfOpening(false, "inside/new", O_WRONLY | O_CREAT), EACCES);
  EXPECT_EQ(ErrorOfOpening(true, "inside/new", O_WRONLY | O_CREAT), 0);
  EXPECT_TRUE(PathExists(Path("inside/new")));
}

TEST_F(PlacesTest, NoDeviceSocketOrLinkIsMadeAndNothingExecuted) {
  EXPECT_EQ(WithInsideOnly(true, [&] { return ErrorOf(::mkfifo(Path("inside/f").c_str(), 0600)); }),
            EACCES);
  EXPECT_EQ(
      WithInsideOnly(true, [&] { return ErrorOf(::symlink("/etc", Path("inside/l").c_str())); }),
      EACCES);
  EXPECT_EQ(WithInsideOnly(true, [] { return ErrorOf(::execl("/bin/true", "true", nullptr)); }),
            EACCES);
}

TEST_F(PlacesTest, AFileThatIsOpenStaysOpen) {
  const UniqueFd open(::open(Path("outside/file").c_str(), O_RDONLY | O_CLOEXEC));
  char byte = 0;

  EXPECT_EQ(WithInsideOnly(false, [&] { return ErrorOf(::read(open.get(), &byte, 1)); }), 0);
}

int ErrorOfBinding(uint16_t port) {
  const UniqueFd one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(one.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ErrorOf(::bind(one.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
}

TEST_F(PlacesTest, OnlyTheNamedPortCanBeListenedOn) {
  constexpr uint16_t kNamed = 47113;
  const auto bind = [](uint16_t port) {
    return InChild([port] {
      const Result<int> version = GiveUpOtherPlaces({{}, {kNamed}, {}});
      return version.ok() && *version >= 4 ? ErrorOfBinding(port) : kGaveUpNothing;
    });
  };
  if (bind(kNamed) == kGaveUpNothing) GTEST_SKIP() << "a kernel whose Landlock knows no TCP";

  EXPECT_NE(bind(kNamed), EACCES);
  EXPECT_EQ(bind(kNamed + 1), EACCES);
}

TEST(CapabilitiesTest, NoCapabilityIsLeftAndNoneComesBack) {
  const test::TempDirectory temp;
  const std::string status_copy = temp.path() / "status";

  const int result = InChild([&] {
    if (!GiveUpCapabilities().ok()) return kGaveUpNothing;
    test::WriteText(status_copy, test::ReadText("/proc/self/status"));
    return 0;
  });

  ASSERT_EQ(result, 0);
  const std::string status = test::ReadText(status_copy);
  for (const char* line :
       {"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapInh:\t0000000000000000",
        "CapAmb:\t0000000000000000", "NoNewPrivs:\t1"}) {
    EXPECT_THAT(status, testing::HasSubstr(line));
  }
  if (::geteuid() == 0) {
    EXPECT_THAT(status, testing::HasSubstr("CapBnd:\t0000000000000000"));
  }
}

TEST(SystemCallsTest, WhatIsNotAllowedIsUnknownAndWhatIsGoesOn) {
  const std::vector<long> allowed = {SYS_getpid,      SYS_exit_group, SYS_write,  SYS_gettid,
                                     SYS_sigaltstack, SYS_mmap,       SYS_munmap, SYS_madvise};
  const auto call = [&allowed](long number) {
    return InChild([&] {
      return AllowOnlySystemCalls(allowed).ok() ? ErrorOf(::syscall(number)) : kGaveUpNothing;
    });
  };

  EXPECT_EQ(call(SYS_getpid), 0);
  EXPECT_EQ(call(SYS_socket), ENOSYS);
  EXPECT_EQ(call(SYS_getppid), ENOSYS);
}

TEST(SystemCallsTest, WhatIsForbiddenFailsTheRestGoesOnAndAnotherAbiEndsTheProcess) {
  const auto call = [](long number) {
    return InChild([number] {
      return ForbidSystemCalls({SYS_ptrace}).ok() ? ErrorOf(::syscall(number)) : kGaveUpNothing;
    });
  };

  EXPECT_EQ(call(SYS_ptrace), EPERM);
  EXPECT_EQ(call(SYS_getppid), 0);
#if defined(__x86_64__)
  EXPECT_EQ(call(0x40000000 + SYS_getpid), -SIGSYS);  // x32
#endif
}

TEST(SystemCallsTest, AListThatNoFilterHoldsIsRefused) {
  const std::vector<long> calls(10000, SYS_getpid);

  EXPECT_THAT(AllowOnlySystemCalls(calls), test::StatusIs(Code::kInvalidArgument));
}

}  // namespace
}  // namespace cryopod
