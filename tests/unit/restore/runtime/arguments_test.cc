#include "restore/runtime/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace cryopod::wrapper {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Words(const std::string& line) {
  std::istringstream words(line);
  std::vector<std::string> result;
  for (std::string word; words >> word;) result.push_back(word);
  return result;
}

Arguments Parse(const std::string& line) { return ParseArguments(Words(line)); }

TEST(ArgumentsTest, ReadsACreateAsContainerdWritesIt) {
  const Arguments arguments = Parse(
      "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup "
      "create --bundle /b --pid-file /b/init.pid --console-socket /tmp/s.sock --no-pivot abc");

  EXPECT_EQ(arguments.subcommand, "create");
  EXPECT_EQ(arguments.root, "/run/containerd/runc/k8s.io");
  EXPECT_EQ(arguments.log, "/b/log.json");
  EXPECT_EQ(arguments.log_format, "json");
  EXPECT_EQ(arguments.bundle, "/b");
  EXPECT_EQ(arguments.pid_file, "/b/init.pid");
  EXPECT_EQ(arguments.console_socket, "/tmp/s.sock");
  EXPECT_TRUE(arguments.no_pivot);
  EXPECT_EQ(arguments.id, "abc");
  EXPECT_EQ(arguments.state_dir(), "/run/containerd/runc/k8s.io/abc");
  EXPECT_THAT(arguments.globals,
              ElementsAre("--root", "/run/containerd/runc/k8s.io", "--log", "/b/log.json",
                          "--log-format", "json", "--systemd-cgroup"));
}

TEST(ArgumentsTest, KeepsTheCommandLineAsItWas) {
  const std::vector<std::string> words = Words("-root=/r --new=1 create -b /b x --whatever");

  EXPECT_EQ(ParseArguments(words).all, words);
}

TEST(ArgumentsTest, TakesValuesAfterAnEqualsSignAndOneDashForTwo) {
  const Arguments arguments = Parse(
      "-root=/r --log=/l -log-format=json --systemd-cgroup=false create -b=/b "
      "--pid-file=/p -no-pivot=true id");

  EXPECT_EQ(arguments.root, "/r");
  EXPECT_EQ(arguments.log, "/l");
  EXPECT_EQ(arguments.log_format, "json");
  EXPECT_EQ(arguments.bundle, "/b");
  EXPECT_EQ(arguments.pid_file, "/p");
  EXPECT_TRUE(arguments.no_pivot);
  EXPECT_EQ(arguments.id, "id");
}

TEST(ArgumentsTest, HasTheRuntimesDefaults) {
  const Arguments arguments = Parse("create id");

  EXPECT_EQ(arguments.root, "/run/runc");
  EXPECT_EQ(arguments.log_format, "text");
  EXPECT_EQ(arguments.log, "");
  EXPECT_EQ(arguments.bundle, "");
}

struct IdCase {
  const char* name;
  const char* line;
  const char* subcommand;
  const char* id;
};

class ArgumentsIdTest : public ::testing::TestWithParam<IdCase> {};

TEST_P(ArgumentsIdTest, FindsSubcommandAndId) {
  const Arguments arguments = Parse(GetParam().line);

  EXPECT_EQ(arguments.subcommand, GetParam().subcommand);
  EXPECT_EQ(arguments.id, GetParam().id);
}

INSTANTIATE_TEST_SUITE_P(
    All, ArgumentsIdTest,
    ::testing::Values(
        IdCase{"start", "--root /r start abc", "start", "abc"},
        IdCase{"kill_with_signal", "--root /r kill abc 15", "kill", "abc"},
        IdCase{"kill_all_behind", "kill abc 9 --all", "kill", "abc"},
        IdCase{"kill_all_before", "kill --all abc 9", "kill", "abc"},
        IdCase{"delete_force", "delete --force abc", "delete", "abc"},
        IdCase{"exec_of_containerd",
               "exec --process /tmp/p --console-socket /s --tty --detach --pid-file /p abc", "exec",
               "abc"},
        IdCase{"exec_by_hand", "exec -e A=b -u 0 abc sh -c ls", "exec", "abc"},
        IdCase{"exec_ends_at_the_id", "exec abc kill --force other", "exec", "abc"},
        IdCase{"options_behind_the_id", "create abc --bundle /b", "create", "abc"},
        IdCase{"double_dash", "delete -- abc", "delete", "abc"},
        IdCase{"global_double_dash", "--root /r -- start abc", "start", "abc"},
        IdCase{"unknown_global_with_value", "--cgroup-manager disabled start abc", "start", "abc"},
        IdCase{"unknown_global_bool", "--new-flag start abc", "start", "abc"},
        IdCase{"unknown_subcommand", "--root /r frobnicate abc", "frobnicate", ""},
        IdCase{"features", "features", "features", ""}, IdCase{"version", "--version", "", ""},
        IdCase{"nothing", "", "", ""}, IdCase{"value_missing", "--root", "", ""},
        IdCase{"no_id", "create --bundle /b", "create", ""}),
    [](const auto& entry) { return entry.param.name; });

TEST(ArgumentsTest, OptionsThatItDoesNotKnowAreNamedOrStayInFrontOfTheSubcommand) {
  EXPECT_THAT(Parse("create --bundle /b --frob x id").unknown_options, ElementsAre("--frob"));
  EXPECT_THAT(Parse("create --bundle /b --preserve-fds 2 id").unknown_options, IsEmpty());
  EXPECT_THAT(Parse("--new value --root /r create id").globals,
              ElementsAre("--new", "value", "--root", "/r"));
}

TEST(ArgumentsTest, TellsADetachedExecAndNotWhatItsCommandIsTold) {
  EXPECT_TRUE(Parse("exec --process /p --detach --pid-file /q c1").detach);
  EXPECT_TRUE(Parse("exec -d c1 sh").detach);
  EXPECT_FALSE(Parse("exec --detach=false c1 sh").detach);
  EXPECT_FALSE(Parse("exec c1 daemon --detach").detach);
}

}  // namespace
}  // namespace cryopod::wrapper
