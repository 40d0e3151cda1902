// A workload judges a restore, so it must be able to say no: each is asked before and after it has
// damaged its own state.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace cryopod::workload {
namespace {

struct Answer {
  int exit_code = -1;
  std::string text;
};

// A workload in a process of its own, with an abstract socket that no other test has.
class RunningWorkload {
 public:
  RunningWorkload(const std::string& name, const std::vector<std::string>& arguments)
      : program_(std::string(WORKLOADS_DIRECTORY) + "/" + name),
        socket_("@workloads_test_" + std::to_string(::getpid()) + "_" + std::to_string(++count_)) {
    ::setenv("WORKLOAD_SOCKET", socket_.c_str(), 1);
    std::vector<char*> argv = {program_.data()};
    std::vector<std::string> copies = arguments;
    for (std::string& argument : copies) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    EXPECT_EQ(::posix_spawn(&pid_, program_.c_str(), &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }

  ~RunningWorkload() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  Answer Ask(const std::string& request) const {
    const std::string command =
        "WORKLOAD_SOCKET=" + socket_ + " " + program_ + " ask " + request + " 2>&1";
    Answer answer;
    FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) return answer;
    char buffer[4096];
    while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) answer.text += buffer;
    const int status = ::pclose(pipe);
    if (WIFEXITED(status)) answer.exit_code = WEXITSTATUS(status);
    return answer;
  }

  // Asks until the answer is the wished one; the last answer is returned in any case.
  Answer AskUntil(const std::string& request, int exit_code) const {
    Answer answer;
    for (int round = 0; round < 200; ++round) {
      answer = Ask(request);
      if (answer.exit_code == exit_code) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return answer;
  }

  pid_t pid() const { return pid_; }

 private:
  inline static int count_ = 0;
  std::string program_;
  std::string socket_;
  pid_t pid_ = -1;
};

void ExpectOkThenBadWhenCorrupted(const RunningWorkload& workload, const std::string& reason) {
  const Answer healthy = workload.AskUntil("verify", 0);
  const Answer corrupted = workload.Ask("corrupt");
  const Answer damaged = workload.AskUntil("verify", 1);

  EXPECT_EQ(healthy.text, "ok\n");
  EXPECT_EQ(corrupted.exit_code, 0);
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_TRUE(damaged.text.starts_with("bad: ")) << damaged.text;
  EXPECT_NE(damaged.text.find(reason), std::string::npos) << damaged.text;
}

TEST(WorkloadsTest, ACounterThatSkipsACountIsBad) {
  const RunningWorkload workload("counter", {});

  ExpectOkThenBadWhenCorrupted(workload, "off its chain");
}

TEST(WorkloadsTest, ACounterCountsAndSeesItsOwnFreeze) {
  const RunningWorkload workload("counter", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);
  ASSERT_EQ(workload.Ask("reset").text, "reset\n");

  ::kill(workload.pid(), SIGSTOP);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ::kill(workload.pid(), SIGCONT);
  const std::string report = workload.Ask("report").text;

  const std::size_t at = report.find("\"largest_gap_us\":");
  ASSERT_NE(at, std::string::npos) << report;
  const int gap_us = std::atoi(report.c_str() + at + sizeof("\"largest_gap_us\":") - 1);
  EXPECT_GE(gap_us, 250'000);
  EXPECT_LT(gap_us, 5'000'000);
}

TEST(WorkloadsTest, OneFlippedBitInAPageIsBad) {
  const RunningWorkload workload("memory_pages", {"8"});

  ExpectOkThenBadWhenCorrupted(workload, "1 of 2048 pages differ, the first is 1024");
}

TEST(WorkloadsTest, PagesThatAreWrittenAllTheTimeAreStillOk) {
  const RunningWorkload workload("memory_pages", {"8", "20000"});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);

  for (int round = 0; round < 10; ++round) EXPECT_EQ(workload.Ask("verify").text, "ok\n");
  workload.Ask("corrupt");
  EXPECT_EQ(workload.Ask("verify").exit_code, 1);
}

TEST(WorkloadsTest, ALoadInManyProcessesFindsDamageInEach) {
  for (const char* content : {"random", "heap", "zero"}) {
    const RunningWorkload workload("memory_load", {"8", "2", "3", content, "4k", "1000"});

    ExpectOkThenBadWhenCorrupted(workload, "2 pages differ");
  }
}

TEST(WorkloadsTest, ALoadTellsItsLongestGapAndWhenItEnded) {
  const RunningWorkload workload("memory_load", {"1"});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);
  ASSERT_EQ(workload.Ask("reset").text, "reset\n");

  ::kill(workload.pid(), SIGSTOP);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto before = std::chrono::system_clock::now().time_since_epoch();
  ::kill(workload.pid(), SIGCONT);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const std::string report = workload.Ask("report").text;

  const std::string name = "\"largest_gap_end_realtime_us\":";
  const std::size_t at = report.find(name);
  ASSERT_NE(at, std::string::npos) << report;
  EXPECT_GE(std::atoll(report.c_str() + at + name.size()),
            std::chrono::duration_cast<std::chrono::microseconds>(before).count());
  EXPECT_EQ(workload.Ask("touch").exit_code, 0);
}

TEST(WorkloadsTest, AThreadWithADamagedStateDeepInTheTreeIsBad) {
  const RunningWorkload workload("process_tree", {"7", "3"});

  ExpectOkThenBadWhenCorrupted(workload, "process 6 thread 2 is off its chain");
}

TEST(WorkloadsTest, ASideThatForgotWhatItSentIsFoundByBoth) {
  const std::string port = std::to_string(20'000 + ::getpid() % 20'000);
  const RunningWorkload listening("exchange", {"listen", port});
  const RunningWorkload connecting("exchange", {"connect", port});
  ASSERT_EQ(listening.AskUntil("verify", 0).text, "ok\n");
  ASSERT_EQ(connecting.AskUntil("verify", 0).text, "ok\n");

  ASSERT_EQ(listening.Ask("corrupt").exit_code, 0);

  EXPECT_EQ(listening.AskUntil("verify", 1).exit_code, 1);
  EXPECT_EQ(connecting.AskUntil("verify", 1).exit_code, 1);
}

TEST(WorkloadsTest, AnExchangeWithNobodyIsBad) {
  const std::string port = std::to_string(20'000 + ::getpid() % 20'000);
  const RunningWorkload workload("exchange", {"listen", port});

  EXPECT_EQ(workload.AskUntil("verify", 1).text, "bad: hears nothing\n");
}

class WorkloadsWithFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "workloads_test_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path directory_;
};

TEST_F(WorkloadsWithFilesTest, ASigtermIsMarkedAndSurvived) {
  const std::string mark = directory_ / "mark";
  const RunningWorkload workload("signal_witness", {mark});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);
  ASSERT_FALSE(std::filesystem::exists(mark));

  ::kill(workload.pid(), SIGTERM);

  EXPECT_EQ(workload.AskUntil("verify", 1).text, "bad: SIGTERM was seen\n");
  EXPECT_TRUE(std::filesystem::exists(mark));
}

TEST_F(WorkloadsWithFilesTest, AnOverwrittenFileIsBad) {
  const RunningWorkload workload("writer", {directory_, "/nowhere"});

  ExpectOkThenBadWhenCorrupted(workload, "plain has another content");
}

TEST_F(WorkloadsWithFilesTest, AFileThatIsGoneAndOneThatCameBackAreBad) {
  const RunningWorkload workload("writer", {directory_, "/nowhere"});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);
  const std::filesystem::path data = directory_ / "writer";

  std::filesystem::rename(data / "after", data / "before");
  const Answer renamed_back = workload.Ask("verify");
  std::filesystem::rename(data / "before", data / "after");
  const Answer mended = workload.Ask("verify");
  std::filesystem::permissions(data / "executable", std::filesystem::perms::owner_read);
  const Answer other_mode = workload.Ask("verify");

  EXPECT_EQ(renamed_back.exit_code, 1);
  EXPECT_EQ(mended.text, "ok\n");
  EXPECT_NE(other_mode.text.find("executable has another mode"), std::string::npos);
}

TEST_F(WorkloadsWithFilesTest, RoundsOfChangesAreOk) {
  const RunningWorkload workload("writer", {directory_, "/nowhere"});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);

  for (int round = 0; round < 4; ++round) {
    EXPECT_EQ(workload.Ask("change").text, "changed\n");
    EXPECT_EQ(workload.Ask("verify").text, "ok\n");
  }
}

TEST_F(WorkloadsWithFilesTest, AFileThatWasReplacedUnderItsHolderIsBad) {
  const std::filesystem::path held = std::filesystem::path(directory_) / "held";
  std::ofstream(held) << "first\n";
  const RunningWorkload workload("volume_holder", {"read:" + held.string()});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  ASSERT_EQ(workload.Ask("\"content " + held.string() + "\"").text, "content first\n");

  std::ofstream(held.string() + ".new") << "second\n";
  std::filesystem::rename(held.string() + ".new", held);

  EXPECT_NE(workload.AskUntil("verify", 1).text.find("another file"), std::string::npos);
}

TEST_F(WorkloadsWithFilesTest, AHolderTellsEveryWatchThatHasSeenSomethingOnce) {
  const std::filesystem::path held = std::filesystem::path(directory_) / "held";
  std::ofstream(held) << "first\n";
  const RunningWorkload workload("volume_holder",
                                 {"read:" + held.string(), "watch:" + held.string()});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  ASSERT_EQ(workload.Ask("events").text, "events\n");

  std::ofstream(held, std::ios::app) << "more\n";

  EXPECT_EQ(workload.Ask("events").text, "events " + held.string() + "\n");
  EXPECT_EQ(workload.Ask("events").text, "events\n");
}

TEST_F(WorkloadsWithFilesTest, AHolderThatLostItsDescriptorsIsBad) {
  const std::filesystem::path held = std::filesystem::path(directory_) / "held";
  std::ofstream(held) << "first\n";
  const RunningWorkload workload("volume_holder", {"read:" + held.string()});

  ExpectOkThenBadWhenCorrupted(workload, "another file");
}

TEST(WorkloadsTest, AWorkloadThatIsGoneIsNotTakenForAHealthyOne) {
  const RunningWorkload workload("counter", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);

  ::kill(workload.pid(), SIGKILL);

  EXPECT_EQ(workload.AskUntil("verify", 2).exit_code, 2);
}

}  // namespace
}  // namespace cryopod::workload
