#include "agent/checkpoint/unrestorable.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "agent/os/directory.h"
#include "agent/os/text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"
#include "tests/workloads/process_states.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A container's first process in namespaces of its own, with a proc of its own.
class UnrestorableTest : public test::LeafTest {
 protected:
  void Start(const std::function<bool()>& prepare) {
    holder_.emplace(CLONE_NEWPID | CLONE_NEWNS, [&prepare] {
      return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
             ::mount("proc", "/proc", "proc", 0, nullptr) == 0 && ::setsid() > 0 &&
             CloseInheritedPipes() && prepare();
    });
    ASSERT_TRUE(holder_->ready());
    target_.emplace(Target("app", holder_->init()));
  }
  // What the test itself was given, and the holder, would be counted.
  static bool CloseInheritedPipes() {
    for (int fd = 0; fd < 64; ++fd) {
      struct stat status {};
      if (::fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode)) continue;
      if ((::fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY) ::close(fd);
    }
    return true;
  }
  void StartHolding(const std::vector<std::string>& states) {
    Start([this, &states] {
      auto* held = new workload::ProcessStates(temp_.path());  // as long as the process
      for (const std::string& state : states) {
        if (!held->Hold(state)) return false;
      }
      return true;
    });
  }
  std::vector<SeenProcess> Processes() const {
    std::vector<SeenProcess> processes;
    const std::vector<DirectoryEntry> entries = ListDirectory("/proc").value();
    for (const DirectoryEntry& entry : entries) {
      pid_t pid = 0;
      if (!ParseNumber(entry.name, pid)) continue;
      const Result<uint64_t> where = NamespaceInode(pid, "pid");
      if (!where.ok() || *where != target_->pid_namespace) continue;
      Result<SeenProcess> seen = LookAtProcess(pid);
      if (seen.ok()) processes.push_back(std::move(seen).value());
    }
    return processes;
  }
  Inspection Inspect() const { return InspectProcesses(*target_, Processes()); }
  std::vector<Objection> Objections() const { return Inspect().objections; }
  // One alone, for this reason, whose sentence has all these parts.
  void ExpectOne(const std::vector<Objection>& objections, Reason word,
                 const std::vector<std::string>& parts) const {
    ASSERT_EQ(objections.size(), 1u);
    EXPECT_EQ(objections[0].word, word);
    for (const std::string& part : parts) EXPECT_THAT(objections[0].sentence, HasSubstr(part));
  }
  std::string InitName() const { return "process " + std::to_string(holder_->init()) + " ("; }

  cryopod::test::TempDirectory temp_;
  std::optional<test::NamespaceHolder> holder_;
  std::optional<DumpTarget> target_;
};

TEST_F(UnrestorableTest, StatesThatComeBackAreNotRefused) {
  StartHolding({"timer_to_process", "timer_to_other_thread", "process_file", "ended_process_file",
                "orphan_of_init", "child_older_than_session", "pipes:1020", "fifos:1020"});
  EXPECT_THAT(Objections(), IsEmpty());

  StartHolding({"clock_of_only_thread"});
  EXPECT_THAT(Objections(), IsEmpty());
}

TEST_F(UnrestorableTest, StatesThatDoNotComeBackAreNamedWithTheProcessAndTheRemedy) {
  struct Case {
    const char* state;
    Reason word;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases = {
      {"timer_to_first_thread",
       Reason::kPosixTimer,
       {"number 1", "first thread", "SIGEV_THREAD_ID", "delete it"}},
      {"timer_to_ended_thread", Reason::kPosixTimer, {"has ended", "delete it"}},
      {"clock_of_thread", Reason::kPosixTimer, {"CLOCK_THREAD_CPUTIME_ID"}},
      {"thread_file",
       Reason::kProcTaskFile,
       {"/stat open (descriptor ", "a file of a thread", "close it"}},
      {"thread_file_by_number",
       Reason::kProcTaskFile,
       {"/stat open (descriptor ", "a file of a thread", "close it"}},
      {"thread_directory", Reason::kProcTaskFile, {"/task/", "as its cwd"}},
  };
  for (const auto& [state, word, parts] : cases) {
    SCOPED_TRACE(state);
    StartHolding({"timer_to_process", state});
    ExpectOne(Objections(), word, parts);
    ExpectOne(Objections(), word, {"container app: " + InitName()});
  }
}

TEST_F(UnrestorableTest, AFileThatOnlyLooksLikeAThreadsIsFine) {
  const std::string folder = temp_.path() / "proc/1/task/7";
  fs::create_directories(folder);
  Start([&folder] {
    return ::chdir(folder.c_str()) == 0 && ::open("stat", O_RDWR | O_CREAT, 0600) >= 0;
  });

  EXPECT_THAT(Objections(), IsEmpty());
}

TEST_F(UnrestorableTest, WithProcElsewhereTheFileOfAnEndedProcessIsNamed) {
  const std::string place = temp_.path() / "proc";
  fs::create_directory(place);
  Start([&place] {
    if (::mount("proc", place.c_str(), "proc", 0, nullptr) != 0) return false;
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) ::pause();
    }
    const std::string file = place + "/" + std::to_string(child) + "/stat";
    const bool opened = ::open(file.c_str(), O_RDONLY) >= 0 &&
                        ::open((place + "/self/stat").c_str(), O_RDONLY) >= 0;
    ::kill(child, SIGKILL);
    return ::waitpid(child, nullptr, 0) == child && opened;
  });

  ExpectOne(Objections(), Reason::kProcTaskFile, {InitName(), place, "has ended", "close it"});
}

TEST_F(UnrestorableTest, AnOrphanBelowASubreaperIsNamedWithItsSession) {
  StartHolding({"orphan_of_subreaper", "orphan_of_init"});

  ExpectOne(Objections(), Reason::kOrphanedSession,
            {"container app: process ", " in session ", "whose leader has ended",
             "a child subreaper", "end it"});
}

TEST_F(UnrestorableTest, SoIsOneThatHasEndedAndThatNobodyWaitsFor) {
  StartHolding({"zombie_of_subreaper"});

  std::vector<SeenProcess> living = Processes();
  std::erase_if(living, [](const SeenProcess& process) { return IsZombie(process.info); });

  // A cgroup lists no zombies.
  ExpectOne(InspectProcesses(*target_, living).objections, Reason::kOrphanedSession,
            {"has ended unnoticed", "in session", "let its parent wait for it"});
}

TEST_F(UnrestorableTest, SoIsOneWhoseLeaderLivesBesideIt) {
  StartHolding({"orphan_beside_leader"});

  ExpectOne(Objections(), Reason::kOrphanedSession, {"whose leader is no ancestor", "end it"});
}

TEST_F(UnrestorableTest, MorePipesThanCriuHoldsAreCounted) {
  StartHolding({"pipes:" + std::to_string(kPipesMax)});
  EXPECT_THAT(Objections(), IsEmpty()) << "one more has no reading end";

  StartHolding({"pipes:" + std::to_string(kPipesMax + 1)});
  ExpectOne(Objections(), Reason::kTooManyPipes,
            {"container app has 1025 pipes", "1024", "close some"});
}

TEST_F(UnrestorableTest, NamedPipesAreCountedApart) {
  StartHolding({"pipes:1000", "fifos:1000"});
  EXPECT_THAT(Objections(), IsEmpty());

  StartHolding({"fifos:" + std::to_string(kPipesMax + 1)});
  ExpectOne(Objections(), Reason::kTooManyPipes, {"1025 named pipes", "1024"});
}

TEST_F(UnrestorableTest, ADeletedFileThatIsOpenTakesSpaceInTheImages) {
  StartHolding({});
  const uint64_t without = Inspect().images_bytes;
  const std::string file = temp_.path() / "deleted";
  Start([&file] {
    std::ofstream(file) << std::string(size_t{3} << 20, 'x');
    return ::open(file.c_str(), O_RDONLY) >= 0 && ::open(file.c_str(), O_RDWR) >= 0 &&
           ::unlink(file.c_str()) == 0;
  });

  const uint64_t with = Inspect().images_bytes;

  EXPECT_GE(with, without + (uint64_t{3} << 20));
  EXPECT_LT(with, without + (uint64_t{4} << 20)) << "counted once";
}

TEST(ReasonAgainstProcFileTest, ARestoreFindsProcessesAndFirstThreads) {
  const std::set<pid_t> processes = {1, 5, 7};
  const std::set<pid_t> threads = {6};
  for (const char* path :
       {"/", "/1", "/5/stat", "/5/task", "/5/task/5", "/5/task/5/stat", "/5/net/tcp", "/meminfo",
        "/sys/kernel/pid_max", "/9/stat", "/9 (deleted)", "/9/task/9/stat", ""}) {
    EXPECT_EQ(ReasonAgainstProcFile(path, true, processes, threads), "") << path;
  }
  for (const char* path :
       {"/5/task/6", "/5/task/6/stat", "/5/task/8/stat", "/6", "/6/stat", "/6 (deleted)",
        "/6/task/6/stat", "/9/task/8/stat", "/5/task/8 (deleted)"}) {
    EXPECT_THAT(std::string(ReasonAgainstProcFile(path, true, processes, threads)),
                HasSubstr("of a thread"))
        << path;
  }
}

TEST(ReasonAgainstProcFileTest, AnEndedProcessHasAStandInRightBeneathTheRootOnly) {
  EXPECT_EQ(ReasonAgainstProcFile("/5/stat", false, {5}, {}), "");
  EXPECT_EQ(ReasonAgainstProcFile("/1/stat", false, {5}, {}), "");
  EXPECT_THAT(std::string(ReasonAgainstProcFile("/9/stat", false, {5}, {})), HasSubstr("ended"));
}

}  // namespace
}  // namespace cryopod::checkpoint
