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
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_directory.h"

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

// Where a workload may work; most need none.
class WorkloadsTest : public testing::Test {
 protected:
  const test::TempDirectory temp_;
  const std::filesystem::path directory_ = temp_.path();
  const std::string held_ = directory_ / "held";
};

TEST_F(WorkloadsTest, EachIsOkAndBadOnceItIsDamaged) {
  std::ofstream(held_) << "first\n";
  struct Case {
    const char* name;
    std::vector<std::string> arguments;
    const char* reason;
  };
  for (const Case& damaged : std::vector<Case>{
           {"counter", {}, "off its chain"},
           {"memory_kinds", {}, "plain: page 7 differs"},
           {"memory_load", {"8"}, "1 of 2048 pages differ"},
           {"memory_load", {"8", "2", "3", "random", "4k", "1000"}, "2 of 2048 pages differ"},
           {"memory_load", {"8", "2", "3", "heap", "4k", "1000"}, "2 of 2048 pages differ"},
           {"memory_load", {"8", "2", "3", "zero", "4k", "1000"}, "2 of 2048 pages differ"},
           {"process_tree", {"7", "3"}, "process 6 thread 2 is off its chain"},
           {"one_instant", {"8"}, "1 pages of another instant"},
           {"clocks", {}, "one side has had"},
           {"children", {}, "the queued signal"},
           {"relay", {directory_}, "pipe there"},
           {"journal", {directory_}, "log holds"},
           {"writer", {directory_, "/nowhere"}, "plain has another content"},
           {"volume_holder", {"read:" + held_}, "another file"},
           {"process_states", {"timer_to_first_thread"}, "a timer is gone"},
           {"process_states", {"thread_file"}, "cannot be read"},
           {"process_states", {"orphan_of_subreaper"}, "in another session, or gone"},
           {"process_states", {"pipes:3"}, "a pipe carries nothing"}}) {
    SCOPED_TRACE(damaged.reason);
    const RunningWorkload workload(damaged.name, damaged.arguments);

    EXPECT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
    EXPECT_EQ(workload.Ask("corrupt").exit_code, 0);
    const Answer answer = workload.AskUntil("verify", 1);

    EXPECT_EQ(answer.exit_code, 1);
    EXPECT_TRUE(answer.text.starts_with("bad: ")) << answer.text;
    EXPECT_NE(answer.text.find(damaged.reason), std::string::npos) << answer.text;
  }
}

TEST_F(WorkloadsTest, ACounterCountsAndSeesItsOwnFreeze) {
  const RunningWorkload workload("counter", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);
  ASSERT_EQ(workload.Ask("reset").text, "reset\n");

  workload.Freeze(std::chrono::milliseconds(300));
  const std::uint64_t gap_us = workload.Number("largest_gap_us");

  EXPECT_GE(gap_us, 250'000U);
  EXPECT_LT(gap_us, 5'000'000U);
}

TEST_F(WorkloadsTest, PagesThatAreWrittenAllTheTimeAreStillOk) {
  const RunningWorkload workload("memory_load", {"8", "1", "0", "random", "4k", "80"});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);

  for (int round = 0; round < 10; ++round) EXPECT_EQ(workload.Ask("verify").text, "ok\n");
  workload.Ask("corrupt");
  EXPECT_EQ(workload.Ask("verify").exit_code, 1);
}

TEST_F(WorkloadsTest, ALoadTellsItsLongestGapAndWhenItEnded) {
  const RunningWorkload workload("memory_load", {"1"});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);
  ASSERT_EQ(workload.Ask("reset").text, "reset\n");

  const auto before = std::chrono::system_clock::now().time_since_epoch();
  workload.Freeze(std::chrono::milliseconds(300));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));

  EXPECT_GE(workload.Number("largest_gap_end_realtime_us"),
            std::chrono::duration_cast<std::chrono::microseconds>(before).count() + 300'000);
  EXPECT_EQ(workload.Ask("touch").exit_code, 0);
}

TEST_F(WorkloadsTest, ASideThatForgotWhatItSentIsFoundByBoth) {
  const std::string port = std::to_string(20'000 + ::getpid() % 20'000);
  const RunningWorkload listening("exchange", {"listen", port});
  const RunningWorkload connecting("exchange", {"connect", port});
  ASSERT_EQ(listening.AskUntil("verify", 0).text, "ok\n");
  ASSERT_EQ(connecting.AskUntil("verify", 0).text, "ok\n");

  ASSERT_EQ(listening.Ask("corrupt").exit_code, 0);

  EXPECT_EQ(listening.AskUntil("verify", 1).exit_code, 1);
  EXPECT_EQ(connecting.AskUntil("verify", 1).exit_code, 1);
}

TEST_F(WorkloadsTest, AnExchangeWithNobodyIsBad) {
  const std::string port = std::to_string(20'000 + ::getpid() % 20'000);
  const RunningWorkload workload("exchange", {"listen", port});

  EXPECT_EQ(workload.AskUntil("verify", 1).text, "bad: hears nothing\n");
}

TEST_F(WorkloadsTest, AFreezeMakesAllPagesBeLookedAt) {
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
TEST_F(WorkloadsTest, EveryPageOfAnotherInstantIsCounted) {
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

TEST_F(WorkloadsTest, ClocksThatStoodStillAreOk) {
  const RunningWorkload workload("clocks", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");

  for (int round = 0; round < 3; ++round) {
    workload.Freeze(std::chrono::milliseconds(150));
    EXPECT_EQ(workload.Ask("verify").text, "ok\n");
  }
  EXPECT_GE(workload.Number("gaps"), 3U);
}

TEST_F(WorkloadsTest, ASignalThatNobodySentIsBad) {
  const RunningWorkload workload("children", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  ASSERT_GT(workload.Number("child_signals"), 0U);

  ::kill(workload.pid(), SIGWINCH);

  EXPECT_EQ(workload.AskUntil("verify", 1).text, "bad: 1 unexpected signals, the first is " +
                                                     std::to_string(SIGWINCH) + " with code 0\n");
}

TEST_F(WorkloadsTest, AWorkloadEndsWithItsVerdict) {
  RunningWorkload healthy("memory_load", {"4"});
  RunningWorkload damaged("memory_load", {"4"});
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

TEST_F(WorkloadsTest, ASigtermIsMarkedAndSurvived) {
  const std::string mark = directory_ / "mark";
  const RunningWorkload workload("signal_witness", {mark});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);
  ASSERT_FALSE(std::filesystem::exists(mark));

  ::kill(workload.pid(), SIGTERM);

  EXPECT_EQ(workload.AskUntil("verify", 1).text, "bad: SIGTERM was seen\n");
  EXPECT_TRUE(std::filesystem::exists(mark));
}

TEST_F(WorkloadsTest, BuffersAreFullOfBytesThatAllArrive) {
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

TEST_F(WorkloadsTest, AFileOfAnEarlierStepIsBad) {
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

TEST_F(WorkloadsTest, AFileThatIsGoneAndOneThatCameBackAreBad) {
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

TEST_F(WorkloadsTest, RoundsOfChangesAreOk) {
  const RunningWorkload workload("writer", {directory_, "/nowhere"});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);

  for (int round = 0; round < 4; ++round) {
    EXPECT_EQ(workload.Ask("change").text, "changed\n");
    EXPECT_EQ(workload.Ask("verify").text, "ok\n");
  }
}

TEST_F(WorkloadsTest, AFileThatWasReplacedUnderItsHolderIsBad) {
  std::ofstream(held_) << "first\n";
  const RunningWorkload workload("volume_holder", {"read:" + held_});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  ASSERT_EQ(workload.Ask("\"content " + held_ + "\"").text, "content first\n");

  std::ofstream(held_ + ".new") << "second\n";
  std::filesystem::rename(held_ + ".new", held_);

  EXPECT_NE(workload.AskUntil("verify", 1).text.find("another file"), std::string::npos);
}

TEST_F(WorkloadsTest, AHolderTellsEveryWatchThatHasSeenSomethingOnce) {
  std::ofstream(held_) << "first\n";
  const RunningWorkload workload("volume_holder", {"read:" + held_, "watch:" + held_});
  ASSERT_EQ(workload.AskUntil("verify", 0).text, "ok\n");
  ASSERT_EQ(workload.Ask("events").text, "events\n");

  std::ofstream(held_, std::ios::app) << "more\n";

  EXPECT_EQ(workload.Ask("events").text, "events " + held_ + "\n");
  EXPECT_EQ(workload.Ask("events").text, "events\n");
}

TEST_F(WorkloadsTest, AWorkloadThatIsGoneIsNotTakenForAHealthyOne) {
  const RunningWorkload workload("counter", {});
  ASSERT_EQ(workload.AskUntil("verify", 0).exit_code, 0);

  ::kill(workload.pid(), SIGKILL);

  EXPECT_EQ(workload.AskUntil("verify", 2).exit_code, 2);
}

}  // namespace
}  // namespace cryopod::workload
