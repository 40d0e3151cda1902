#include "agent/gateway/give_up_rights.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "agent/gateway/tcp_socket.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/unix_socket.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::gateway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kUser[] = "nobody";
constexpr uint16_t kPort = 39'464;

// Runs `act` in a child, which cannot get back what it gives up; "" or what it found wrong.
std::string InChild(const std::function<std::string()>& act) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string wrong = act();
    (void)!::write(ends[1], wrong.data(), wrong.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  const UniqueFd reading(ends[0]);
  const Result<std::string> wrong = ReadAll(reading.get(), 1 << 16);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  return wrong.ok() ? *wrong : wrong.status().message();
}

class GiveUpRightsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root has rights to give up";
  }
};

TEST_F(GiveUpRightsTest, RootBecomesTheUserWithItsGroupsAndKeepsNothing) {
  EXPECT_EQ(InChild([]() -> std::string {
              const Status status = BecomeUser(kUser);
              const Result<TaskCredentials> now = ReadTaskCredentials(::getpid());
              if (!status.ok() || !now.ok()) return status.message() + now.status().message();
              const passwd* const user = ::getpwnam(kUser);
              for (int i = 0; i < 4; ++i) {
                if (now->uids[i] != user->pw_uid || now->gids[i] != user->pw_gid) return "ids";
              }
              if (now->capabilities != CapabilitySets()) return "capabilities";
              if (!now->no_new_privs) return "no_new_privs";
              gid_t groups[64];
              const int count = ::getgroups(64, groups);
              for (int i = 0; i < count; ++i) {
                if (groups[i] == 0) return "root's group";
              }
              if (::setuid(0) == 0) return "root again";
              return ::open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0 ? "reads /etc/shadow" : "";
            }),
            "");
}

TEST_F(GiveUpRightsTest, RootDoesNotGoOnUnlessItIsTold) {
  EXPECT_THAT(InChild([] { return CheckUser("", false).message(); }),
              AllOf(HasSubstr("--user"), HasSubstr("--allow-root")));
  EXPECT_EQ(InChild([]() -> std::string {
              Status status = CheckUser("", true);
              if (status.ok()) status = BecomeUser("");
              if (!status.ok()) return status.message();
              const Result<TaskCredentials> now = ReadTaskCredentials(::getpid());
              return now.ok() && now->capabilities.effective == 0 ? "" : "capabilities";
            }),
            "");
}

TEST_F(GiveUpRightsTest, AUserThatDoesNotExistIsNamedAndOnlyRootBecomesAnother) {
  EXPECT_THAT(InChild([] { return CheckUser("no-such-user", false).message(); }),
              AllOf(HasSubstr("no user no-such-user"), HasSubstr("useradd")));
  EXPECT_THAT(InChild([] {
                if (::setresuid(65'533, 65'533, 65'533) != 0) return std::string("setresuid");
                return CheckUser(kUser, false).message();
              }),
              HasSubstr("only root can become user nobody"));
}

TEST_F(GiveUpRightsTest, AConfinedGatewayReachesTheAgentAndItsOwnServiceAndNothingElse) {
  const cryopod::test::TempDirectory temp;
  const std::string socket = temp.path() / "agent.sock";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd agent, ListenUnix(socket, 0666));
  EXPECT_EQ(InChild([&]() -> std::string {
              const Status status = Confine(kPort);
              if (!status.ok()) return status.message();
              if (!ConnectUnix(socket, Deadline::After(std::chrono::seconds(5))).ok()) {
                return "the agent is out of reach";
              }
              if (::open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0) return "opens files";
              if (!ReadFile("/proc/self/status").ok()) return "does not see itself";
              ::execl("/bin/true", "true", nullptr);
              return errno == EPERM || errno == EACCES ? "" : "executes";
            }),
            "");
}

TEST_F(GiveUpRightsTest, WhoIsNotRootHasAPrivateNetworkTooWhereUsersMayMakeNamespaces) {
  const std::string wrong = InChild([]() -> std::string {
    if (::setresuid(65'533, 65'533, 65'533) != 0) return "setresuid";
    if (!EnterPrivateNetwork()) return "refused";
    const Status given_up = BecomeUser("");
    if (!given_up.ok()) return given_up.message();
    const Result<UniqueFd> inside = ListenTcp("127.0.0.1:1024");
    return inside.ok() ? "" : inside.status().message();
  });
  if (wrong == "refused") GTEST_SKIP() << "users may not make namespaces here";
  EXPECT_EQ(wrong, "");
}

TEST_F(GiveUpRightsTest, APrivateNetworkHasItsOwnLoopbackAndKeepsOpenSockets) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd outside, ListenTcp("127.0.0.1:0"));
  const std::string taken = LocalEndpoint(outside.get());
  const std::string wrong = InChild([&]() -> std::string {
    if (!EnterPrivateNetwork()) return "refused";
    // The same port is free here, so this is another loopback, and it works.
    const Result<UniqueFd> inside = ListenTcp(taken);
    if (!inside.ok()) return inside.status().message();
    if (LocalEndpoint(outside.get()) != taken) return "the open socket has changed";
    const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(inside->get(), reinterpret_cast<sockaddr*>(&address), &size);
    if (::connect(client.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) {
      return "its loopback is down";
    }
    return ::if_nametoindex("eth0") != 0 ? "it has other interfaces" : "";
  });
  if (wrong == "refused") GTEST_SKIP() << "this machine lets nobody make namespaces";
  EXPECT_EQ(wrong, "");
}

}  // namespace
}  // namespace cryopod::gateway
