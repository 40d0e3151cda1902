#include "agent/os/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

namespace cryopod {
namespace {

using ::testing::HasSubstr;

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
  const Result<TaskCredentials> read = ParseTaskCredentials(kStatus);

  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->uids[0], 1000u);
  EXPECT_EQ(read->uids[3], 1003u);
  EXPECT_EQ(read->gids[1], 8u);
  EXPECT_THAT(read->groups, ::testing::ElementsAre(7u, 20u));
  EXPECT_EQ(read->capabilities.inheritable, 1u);
  EXPECT_EQ(read->capabilities.permitted, 3u);
  EXPECT_EQ(read->capabilities.effective, 2u);
  EXPECT_EQ(read->capabilities.bounding, 0x1ffffffffffu);
  EXPECT_EQ(read->capabilities.ambient, 0u);
  EXPECT_TRUE(read->no_new_privs);
  EXPECT_EQ(read->seccomp_mode, 2);
}

TEST(CredentialsTest, AMissingFieldIsNamed) {
  for (const char* field : {"Uid", "Gid", "Groups", "CapBnd", "NoNewPrivs", "Seccomp"}) {
    const Status status = ParseTaskCredentials(Without(std::string(field) + ":")).status();

    EXPECT_EQ(status.code(), Code::kDataLoss) << field;
    EXPECT_THAT(status.message(), HasSubstr(field));
  }
}

TEST(CredentialsTest, ATaskMayHaveNoSupplementaryGroups) {
  std::string text = kStatus;
  text.replace(text.find("7 20 \n"), 5, " ");

  const Result<TaskCredentials> read = ParseTaskCredentials(text);

  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_TRUE(read->groups.empty());
}

TEST(CredentialsTest, AFieldThatIsNoNumberIsNamed) {
  std::string text = kStatus;
  text.replace(text.find("1001"), 4, "root");

  EXPECT_THAT(ParseTaskCredentials(text).status().message(), HasSubstr("Uid"));
}

TEST(CredentialsTest, NoNewPrivsOfALivingChildIsSeen) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, WUNTRACED), child);

  const Result<TaskCredentials> ours = ReadTaskCredentials(::getpid());
  const Result<TaskCredentials> theirs = ReadTaskCredentials(child);

  ASSERT_TRUE(ours.ok() && theirs.ok());
  EXPECT_TRUE(theirs->no_new_privs);
  EXPECT_EQ(theirs->uids[0], ::getuid());
  EXPECT_EQ(theirs->capabilities, ours->capabilities);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(ReadTaskCredentials(child).status().code(), Code::kNotFound);
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
