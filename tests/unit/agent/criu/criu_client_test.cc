#include "agent/criu/criu_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>

#include "agent/criu/proto/rpc.pb.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "fake_criu_fixture.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Asks the fake criu and dumps with it into two directories of its own.
class CriuClientTest : public test::FakeCriuFixture {
 protected:
  static constexpr Patience kShort{milliseconds(100), milliseconds(200)};

  CriuClientTest() {
    options_.pid = 4711;
    options_.root = "/run/c/rootfs";
  }

  CriuProcess Spawn(const std::string& behaviour, Patience patience = {}) {
    CriuProcess process = CriuProcess::Spawn(Criu(behaviour), patience).value();
    pid_ = process.pid();
    return process;
  }
  Status Park(CriuProcess& process) const {
    return process.Park(options_, images_fd_.get(), work_fd_.get(), Soon());
  }
  Status Dump(const std::string& behaviour, milliseconds limit = seconds(10),
              Patience patience = {}) {
    CriuProcess process = Spawn(behaviour, patience);
    CRYOPOD_RETURN_IF_ERROR(Park(process));
    Status dumped = process.Dump(Deadline::After(limit));
    process.Finish();
    return dumped;
  }

  std::string Circumstances() const { return ReadText(work_.path() / "circumstances"); }
  bool IsGone() const { return ::kill(pid_, 0) == -1 && errno == ESRCH; }

  cryopod::test::TempDirectory images_;
  cryopod::test::TempDirectory work_;
  const UniqueFd images_fd_ = OpenDirectory(images_.path()).value();
  const UniqueFd work_fd_ = OpenDirectory(work_.path()).value();
  DumpOptions options_;
  pid_t pid_ = 0;
};

TEST_F(CriuClientTest, TellsTheVersion) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Version version, CheckVersion(Criu("criu"), Soon()));

  EXPECT_EQ(version.text(), "4.2.1");
  EXPECT_EQ((Version{4, 2, 0}.text()), "4.2");
}

TEST_F(CriuClientTest, WhatIsNoCriuOrAnOldOneIsRefusedWithWhatIsToBeDone) {
  const struct {
    std::string program;
    Code code;
    std::vector<std::string> words;
  } refused[] = {
      {Criu("criu-old"), Code::kFailedPrecondition, {"3.17", "4.1"}},
      {"/nowhere/criu", Code::kNotFound, {"/nowhere/criu", "package"}},
      {"/bin/true", Code::kFailedPrecondition, {"/bin/true"}},
      {Criu("criu-dies"), Code::kFailedPrecondition, {"signal 9"}},
      {Criu("criu-garbage"), Code::kDataLoss, {}},
  };
  for (const auto& [program, code, words] : refused) {
    const Status status = CheckVersion(program, Soon()).status();
    EXPECT_THAT(status, StatusIs(code)) << program;
    for (const std::string& word : words) EXPECT_THAT(status.message(), HasSubstr(word));
  }
}

TEST_F(CriuClientTest, AProgramThatSaysNothingEndsWithTheDeadline) {
  const std::string script = programs_.path() / "silent";
  cryopod::test::WriteText(script, "#!/bin/sh\nexec sleep 60\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);

  const Result<Version> version = CheckVersion(script, Deadline::After(milliseconds(200)));

  EXPECT_THAT(version, StatusIs(Code::kDeadlineExceeded));
}

TEST_F(CriuClientTest, ANodeThatCriuCannotWorkOnIsRefusedWithItsReason) {
  EXPECT_THAT(CheckFeatures(Criu("criu"), Soon()), IsOk());

  for (const char* behaviour : {"criu-unfit", "criu-strange-kernel"}) {
    EXPECT_THAT(CheckFeatures(Criu(behaviour), Soon()),
                StatusIs(Code::kFailedPrecondition, HasSubstr("CONFIG_CHECKPOINT")));
  }
  EXPECT_THAT(CheckFeatures("/nowhere/criu", Soon()), StatusIs(Code::kNotFound));
}

TEST_F(CriuClientTest, IsThereBeforeItIsAskedAndEndsByItselfWhenItsOwnerGoes) {
  UniqueFd pidfd;
  {
    const CriuProcess process = Spawn("criu");
    pidfd = OpenPidfd(pid_).value();
    EXPECT_FALSE(PidfdEnded(process.pidfd(), Deadline::After(milliseconds(50))));
  }

  EXPECT_TRUE(PidfdEnded(pidfd.get(), Soon()));
}

TEST_F(CriuClientTest, ReachesTheDirectoriesThoughTheyWereOpenedAfterTheSpawn) {
  CriuProcess process = Spawn("criu");
  const cryopod::test::TempDirectory late;
  const UniqueFd late_fd = OpenDirectory(late.path()).value();

  ASSERT_THAT(process.Park(options_, late_fd.get(), work_fd_.get(), Soon()), IsOk());
  ASSERT_THAT(process.Dump(Soon()), IsOk());

  EXPECT_EQ(ReadText(late.path() / "pstree.img"), "images");
}

TEST_F(CriuClientTest, SendsTheOptions) {
  ASSERT_THAT(Dump("criu"), IsOk());

  wire::criu_req request;
  ASSERT_TRUE(request.ParseFromString(ReadText(work_.path() / "request")));
  EXPECT_EQ(request.opts().pid(), 4711);
  EXPECT_EQ(request.opts().root(), "/run/c/rootfs");
}

TEST_F(CriuClientTest, CriuHasPathAloneASessionOfItsOwnAPrivateUmaskAndNoDescriptorButItsSocket) {
  ::setenv("CRYOPOD_TEST_SECRET", "leaks", 1);

  ASSERT_THAT(Dump("criu"), IsOk());

  EXPECT_THAT(Circumstances(), AllOf(HasSubstr("env PATH="), Not(HasSubstr("CRYOPOD_TEST")),
                                     HasSubstr("session own"), HasSubstr("umask 63")));
  EXPECT_THAT(Circumstances(), AllOf(HasSubstr("fd 0 /dev/null"), HasSubstr("fd 1 /dev/null"),
                                     HasSubstr("fd 2 /dev/null"), HasSubstr("fd 3 socket:"),
                                     Not(HasSubstr("fd 4 "))));
}

TEST_F(CriuClientTest, AFailureIsReportedWithWhatIsKnownOfIt) {
  const struct {
    const char* behaviour;
    Code code;
    const char* words;
  } failures[] = {
      {"criu-fails", Code::kFailedPrecondition, "io_uring"},  // out of its log
      {"criu-silent", Code::kUnknown, "something at?[31m the start"},
      {"criu-dies", Code::kUnavailable, "signal 9"},
      {"criu-garbage", Code::kDataLoss, ""},
  };
  for (const auto& [behaviour, code, words] : failures) {
    std::filesystem::remove(work_.path() / kDumpLogName);
    EXPECT_THAT(Dump(behaviour), StatusIs(code, HasSubstr(words))) << behaviour;
    EXPECT_TRUE(IsGone()) << behaviour;
  }
}

TEST_F(CriuClientTest, ACriuThatRefusesTheRequestIsReportedBeforeAnythingIsFrozen) {
  CriuProcess process = Spawn("criu-refuses");

  EXPECT_THAT(Park(process), StatusIs(Code::kUnknown, HasSubstr("images directory is gone")));
}

TEST_F(CriuClientTest, ACriuThatEndedBeforeItWasAskedIsReported) {
  CriuProcess process = CriuProcess::Spawn("/bin/true").value();
  ASSERT_TRUE(PidfdEnded(process.pidfd(), Soon()));

  EXPECT_THAT(Park(process), StatusIs(Code::kUnavailable));
}

TEST_F(CriuClientTest, IsUsedOnlyOnce) {
  CriuProcess process = Spawn("criu");
  EXPECT_THAT(process.Dump(Soon()), StatusIs(Code::kFailedPrecondition, HasSubstr("not parked")));
  ASSERT_THAT(Park(process), IsOk());
  EXPECT_THAT(Park(process), StatusIs(Code::kFailedPrecondition));
  ASSERT_THAT(process.Dump(Soon()), IsOk());

  EXPECT_THAT(process.Dump(Soon()), StatusIs(Code::kFailedPrecondition));
}

TEST_F(CriuClientTest, ParkedOrNotItHasDumpedNothingAndIsGoneAfterDiscard) {
  for (const bool parked : {false, true}) {
    CriuProcess process = Spawn("criu");
    if (parked) {
      ASSERT_THAT(Park(process), IsOk());
    }

    process.Discard();

    EXPECT_TRUE(IsGone());
    EXPECT_FALSE(std::filesystem::exists(images_.path() / "pstree.img"));
  }
}

TEST_F(CriuClientTest, ADumpIsDoneBeforeItsCriuHasEnded) {
  CriuProcess process = Spawn("criu-lingers");
  ASSERT_THAT(Park(process), IsOk());

  ASSERT_THAT(process.Dump(Soon()), IsOk());
  EXPECT_FALSE(PidfdEnded(process.pidfd(), Deadline::After(milliseconds(0))));
  process.Finish();

  EXPECT_TRUE(IsGone());
}

TEST_F(CriuClientTest, ADumpThatIsLateIsLeftToEndByItself) {
  const Status dump = Dump("criu-late", milliseconds(50), {seconds(5), seconds(5)});

  EXPECT_THAT(dump, StatusIs(Code::kDeadlineExceeded, HasSubstr("gave the dump up")));
  EXPECT_TRUE(IsGone());
}

TEST_F(CriuClientTest, ADumpThatNobodyWantsAnyMoreCannotWriteAndEndsByItself) {
  CriuProcess process = Spawn("criu-writes");
  ASSERT_THAT(Park(process), IsOk());
  const auto is_writing = [this] { return PathExists(images_.path() / "pages-1.img"); };

  EXPECT_THAT(process.Dump(Soon(), is_writing),
              StatusIs(Code::kCancelled, HasSubstr("gave the dump up")));

  EXPECT_TRUE(IsGone());
  EXPECT_FALSE(process.StillHolds());
}

TEST_F(CriuClientTest, OneThatHoldsTasksIsNeverKilled) {
  CriuProcess process = Spawn("criu-holds", kShort);
  ASSERT_THAT(Park(process), IsOk());
  const auto holds = [&process] { return TracesAnyone(process.pid()); };

  EXPECT_THAT(process.Dump(Soon(), holds),
              StatusIs(Code::kCancelled, HasSubstr("left to end by itself")));

  EXPECT_FALSE(IsGone());
  EXPECT_TRUE(process.StillHolds());
  ::kill(process.pid(), SIGKILL);
  EXPECT_TRUE(PidfdEnded(process.pidfd(), Soon()));
  EXPECT_FALSE(process.StillHolds());
}

TEST_F(CriuClientTest, ADumpThatHangsIsStoppedWithSigtermAfterItsGrace) {
  const auto start = std::chrono::steady_clock::now();

  const Status dump = Dump("criu-hangs", milliseconds(50), kShort);

  EXPECT_THAT(dump, StatusIs(Code::kDeadlineExceeded, HasSubstr("SIGTERM")));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(150));
  EXPECT_TRUE(IsGone());
}

TEST_F(CriuClientTest, ADumpThatIgnoresSigtermIsKilledAndThatIsReported) {
  const Status dump = Dump("criu-stubborn", milliseconds(50), kShort);

  EXPECT_THAT(dump, StatusIs(Code::kDeadlineExceeded, HasSubstr("SIGKILL")));
  EXPECT_TRUE(IsGone());
}

}  // namespace
}  // namespace cryopod::criu
