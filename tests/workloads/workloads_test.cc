// A workload judges a restore, so it must be able to say no: each is asked before and after it has
// damaged its own state.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
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
        socket_("@workloads_test_" + std::to_string(::getpid()) + "_" + std::to_string(++count_)),
        output_(::memfd_create("output", MFD_CLOEXEC)) {
    ::setenv("WORKLOAD_SOCKET", socket_.c_str(), 1);
    std::vector<char*> argv = {program_.data()};
    std::vector<std::string> copies = arguments;
    for (std::string& argument : copies) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output_, STDOUT_FILENO);
    EXPECT_EQ(::posix_spawn(&pid_, program_.c_str(), &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }

  ~RunningWorkload() {
    ::close(output_);
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  // Ends it with a signal; its exit code and all that it has written.
  Answer End(int signal) {
    Answer answer;
    int status = 0;
    ::kill(pid_, signal);
    for (int round = 0; round < 200 && ::waitpid(pid_, &status, WNOHANG) == 0; ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    pid_ = -1;
    if (WIFEXITED(status)) answer.exit_code = WEXITSTATUS(status);
    std::array<char, 65536> text;
    const ssize_t size = ::pread(output_, text.data(), text.size(), 0);
    answer.text.assign(text.data(), static_cast<std::size_t>(size > 0 ? size : 0));
    return answer;
  }

  // As a freeze looks to it.
  void Freeze(std::chrono::milliseconds time) const {
    ::kill(pid_, SIGSTOP);
    std::this_thread::sleep_for(time);
    ::kill(pid_, SIGCONT);
  }

  // A text or a number out of its report; empty when it has none of that name.
  std::string Reported(const std::string& name) const {
    const std::string report = Ask("report").text;
    const std::size_t at = report.find("\"" + name + "\":");
    if (at == std::string::npos) return "";
    const std::size_t begin = at + name.size() + 3 + (report[at + name.size() + 3] == '"' ? 1 : 0);
    return report.substr(begin, report.find_first_of(",}\"", begin) - begin);
  }

  std::uint64_t Number(const std::string& name) const { return std::stoull("0" + Reported(name)); }

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
  int output_ = -1;
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

  workload.Freeze(std::chrono::milliseconds(300));
  const std::uint64_t gap_us = workload.Number("largest_gap_us");

  EXPECT_GE(gap_us, 250'000U);
  EXPECT_LT(gap_us, 5'000'000U);
}

TEST(WorkloadsTest, OneFlippedBitInAPageIsBad) {
  const RunningWorkload workload("memory_pages", {"8"});

  ExpectOkThenBadWhenCorrupted(workload, "1 of 2048 pages differ, the first is 1024");
}

TEST(WorkloadsTest, DamageInOneKindOfMemoryIsNamed) {
  const RunningWorkload workload("memory_kinds", {});

  ExpectOkThenBadWhenCorrupted(workload, "plain: page 7 differs");
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

TEST(WorkloadsTest, AStampThatIsOffIsBad) {
  const RunningWorkload workload("one_instant", {"8"});

  ExpectOkThenBadWhenCorrupted(workload, "1 pages of another instant");
}

TEST(WorkloadsTest, AFreezeMakesAllPagesBeLookedAt) {
  const RunningWorkload workload("one_instant", {"8", "3"});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  const std::uint64_t checks_before = workload.Number("checks");

  workload.Freeze(std::chrono::milliseconds(100));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));

  EXPECT_GT(workload.Number("checks"), checks_before);
  EXPECT_GE(workload.Number("largest_gap_us"), 90'000U);
  EXPECT_EQ(workload.Ask("verify").text, "ok\n");
}

// What a torn checkpoint does: some pages are from an earlier instant than all others.
TEST(WorkloadsTest, EveryPageOfAnotherInstantIsCounted) {
  constexpr std::size_t kPages = 5;
  const RunningWorkload workload("one_instant", {"8", "2"});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  const auto address = static_cast<off_t>(std::stoull(workload.Reported("memory"), nullptr, 16));
  const std::string memory_path = "/proc/" + std::to_string(workload.pid()) + "/mem";
  const int memory = ::open(memory_path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(memory, 0);
  std::vector<char> earlier(kPages * 4096);
  ASSERT_EQ(::pread(memory, earlier.data(), earlier.size(), address), kPages * 4096);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));

  ::kill(workload.pid(), SIGSTOP);
  const ssize_t written = ::pwrite(memory, earlier.data(), earlier.size(), address);
  ::kill(workload.pid(), SIGCONT);
  ::close(memory);

  EXPECT_EQ(written, kPages * 4096);
  EXPECT_EQ(workload.AskUntil("verify", 1).exit_code, 1);
  EXPECT_EQ(workload.Number("bad_pages"), kPages);
}

TEST(WorkloadsTest, ALostTimerOrTurnIsBad) {
  const RunningWorkload workload("clocks", {});

  ExpectOkThenBadWhenCorrupted(workload, "one side has had");
}

TEST(WorkloadsTest, ClocksThatStoodStillAreOk) {
  const RunningWorkload workload("clocks", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");

  for (int round = 0; round < 3; ++round) {
    workload.Freeze(std::chrono::milliseconds(150));
    EXPECT_EQ(workload.Ask("verify").text, "ok\n");
  }
  EXPECT_GE(workload.Number("gaps"), 3U);
}

TEST(WorkloadsTest, AQueuedSignalThatIsLostIsBad) {
  const RunningWorkload workload("children", {});

  ExpectOkThenBadWhenCorrupted(workload, "the queued signal");
}

TEST(WorkloadsTest, ASignalThatNobodySentIsBad) {
  const RunningWorkload workload("children", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  ASSERT_GT(workload.Number("child_signals"), 0U);

  ::kill(workload.pid(), SIGWINCH);

  EXPECT_EQ(workload.AskUntil("verify", 1).text, "bad: 1 unexpected signals, the first is " +
                                                     std::to_string(SIGWINCH) + " with code 0\n");
}

TEST(WorkloadsTest, AWorkloadEndsWithItsVerdict) {
  RunningWorkload healthy("memory_pages", {"4"});
  RunningWorkload damaged("memory_pages", {"4"});
  ASSERT_EQ(healthy.AskUntil("verify", 0).exit_code, 0);
  ASSERT_EQ(damaged.AskUntil("corrupt", 0).exit_code, 0);

  const Answer end_of_healthy = healthy.End(SIGTERM);
  const Answer end_of_damaged = damaged.End(SIGINT);

  EXPECT_EQ(end_of_healthy.exit_code, 0);
  EXPECT_EQ(end_of_healthy.text, "verify ok\n");
  EXPECT_EQ(end_of_damaged.exit_code, 1);
  EXPECT_TRUE(end_of_damaged.text.starts_with("verify bad: 1 of 1024 pages"))
      << end_of_damaged.text;
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

TEST_F(WorkloadsWithFilesTest, AByteThatIsLeftOutIsBad) {
  const RunningWorkload workload("relay", {directory_});

  ExpectOkThenBadWhenCorrupted(workload, "pipe there");
}

TEST_F(WorkloadsWithFilesTest, BuffersAreFullOfBytesThatAllArrive) {
  const RunningWorkload workload("relay", {directory_});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  std::uint64_t most_in_flight = 0;
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    most_in_flight = std::max(most_in_flight, workload.Number("in_flight_bytes"));
  }

  EXPECT_GT(most_in_flight, 16U * 1024);
  EXPECT_EQ(workload.Ask("verify").text, "ok\n");
}

TEST_F(WorkloadsWithFilesTest, ALogOfAnotherInstantThanMemoryIsBad) {
  const RunningWorkload workload("journal", {directory_});

  ExpectOkThenBadWhenCorrupted(workload, "log holds");
}

TEST_F(WorkloadsWithFilesTest, AFileOfAnEarlierStepIsBad) {
  for (const char* name : {"state", "table", "mapped"}) {
    const RunningWorkload workload("journal", {directory_});
    ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
    const std::filesystem::path file = directory_ / "journal" / name;
    const std::filesystem::path earlier = directory_ / "earlier";
    ::kill(workload.pid(), SIGSTOP);
    std::filesystem::copy_file(file, earlier, std::filesystem::copy_options::overwrite_existing);
    ::kill(workload.pid(), SIGCONT);
    ASSERT_EQ(workload.Ask("verify").text, "ok\n");

    ::kill(workload.pid(), SIGSTOP);
    std::filesystem::rename(earlier, file);
    ::kill(workload.pid(), SIGCONT);

    const Answer answer = workload.AskUntil("verify", 1);
    EXPECT_NE(answer.text.find(name + std::string(" ")), std::string::npos) << answer.text;
  }
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

TEST(WorkloadsTest, AStateThatIsGoneIsBad) {
  for (const auto& [state, reason] :
       {std::pair{"timer_to_first_thread", "a timer is gone"},
        std::pair{"thread_file", "cannot be read"},
        std::pair{"orphan_of_subreaper", "an orphan is in another session, or gone"},
        std::pair{"pipes:3", "a pipe carries nothing"}}) {
    const RunningWorkload workload("process_states", {state});

    ExpectOkThenBadWhenCorrupted(workload, reason);
  }
}

TEST(WorkloadsTest, AWorkloadThatIsGoneIsNotTakenForAHealthyOne) {
  const RunningWorkload workload("counter", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);

  ::kill(workload.pid(), SIGKILL);

  EXPECT_EQ(workload.AskUntil("verify", 2).exit_code, 2);
}

}  // namespace
}  // namespace cryopod::workload
