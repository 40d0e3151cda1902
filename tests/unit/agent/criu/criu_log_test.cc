#include "agent/criu/criu_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "test_data.h"
#include "tests/support/status_matchers.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Logs of CRIU 4.2.1 on Linux 6.18, each cut to its end.
struct RecordedFailure {
  std::string log;
  Code code;
  std::string reason;
};

void PrintTo(const RecordedFailure& failure, std::ostream* out) { *out << failure.log; }

class RecordedLogTest : public ::testing::TestWithParam<RecordedFailure> {};

TEST_P(RecordedLogTest, IsExplainedInASentence) {
  const Status reason = ReasonFromLog(test::ReadTestData("logs/" + GetParam().log + ".log"));

  EXPECT_THAT(reason, StatusIs(GetParam().code, HasSubstr(GetParam().reason)));
  EXPECT_THAT(reason.message(), Not(HasSubstr("RLIMIT_NOFILE")));
  EXPECT_NE(reason.reason(), Reason::kRefused) << "a known failure has a word of its own";
  EXPECT_NE(reason.reason(), Reason::kCriuFailed);
}

INSTANTIATE_TEST_SUITE_P(
    Provoked, RecordedLogTest,
    ::testing::Values(
        RecordedFailure{"io_uring", Code::kFailedPrecondition, "io_uring"},
        RecordedFailure{"unix_socket_outside", Code::kFailedPrecondition, "unix socket outside"},
        RecordedFailure{"big_deleted_file", Code::kFailedPrecondition, "/data/g of 3145728"},
        RecordedFailure{"link_remap", Code::kFailedPrecondition, "another name"},
        RecordedFailure{"traced", Code::kFailedPrecondition, "debugger"},
        RecordedFailure{"userfaultfd", Code::kFailedPrecondition, "uses userfaultfd"},
        RecordedFailure{"perf_event", Code::kFailedPrecondition, "perf event"},
        RecordedFailure{"device", Code::kFailedPrecondition, "chr 10:229"},
        RecordedFailure{"mptcp", Code::kFailedPrecondition, "GODEBUG"},
        RecordedFailure{"vsock", Code::kFailedPrecondition, "family 40"},
        RecordedFailure{"corked_udp", Code::kFailedPrecondition, "UDP_CORK"},
        RecordedFailure{"nested_pid_namespace", Code::kFailedPrecondition, "PID namespace"},
        RecordedFailure{"nested_user_namespace", Code::kFailedPrecondition, "user namespace"},
        RecordedFailure{"secret_memory", Code::kFailedPrecondition, "memfd_secret"},
        RecordedFailure{"pidfd_outside", Code::kFailedPrecondition, "pidfd"},
        RecordedFailure{"sysv_outside", Code::kFailedPrecondition, "hostIPC"},
        RecordedFailure{"path_outside", Code::kFailedPrecondition,
                        "outside the container's mounts"},
        RecordedFailure{"not_stoppable", Code::kDeadlineExceeded, "could not be stopped in time"},
        RecordedFailure{"rlimit", Code::kPermissionDenied, "CAP_SYS_RESOURCE"},
        RecordedFailure{"disk_full", Code::kResourceExhausted, "full"},
        RecordedFailure{"restore_pid_taken", Code::kFailedPrecondition, "PID"},
        RecordedFailure{"restore_bad_size", Code::kFailedPrecondition, "data/cnt has bad size"},
        RecordedFailure{"restore_file_absent", Code::kFailedPrecondition, "data/cnt"},
        RecordedFailure{"restore_tcp_close", Code::kInternal, "TCP connections closed"}),
    [](const auto& param_info) { return param_info.param.log; });

TEST(CriuLogTest, WhatPreflightRefusesHasTheSameReasonWhenItComesLater) {
  for (const auto& [line, reason] :
       {std::pair{"(criu/pipes.c:416): OOM storing pipe", Reason::kTooManyPipes},
        std::pair{"(criu/timer.c:329): Unable to convert the notify thread id 7",
                  Reason::kPosixTimer},
        std::pair{"(criu/pie/restorer.c:1293): Can't create posix timer - 0: -22",
                  Reason::kPosixTimer},
        std::pair{"(criu/files-reg.c:1217): Conflict with a dead task with the same PID as of this "
                  "thread (virt 5, real 9).",
                  Reason::kProcTaskFile},
        std::pair{"(criu/pstree.c:801): Can't find a session leader for 12",
                  Reason::kOrphanedSession},
        std::pair{"(criu/cr-restore.c:1377): Requested sid 12 doesn't match inherited 1",
                  Reason::kOrphanedSession}}) {
    const Status status = ReasonFromLog("(00.1) Error " + std::string(line) + "\n");

    EXPECT_EQ(status.code(), Code::kFailedPrecondition) << line;
    EXPECT_EQ(status.reason(), reason) << line;
  }
}

TEST(CriuLogTest, AnUnknownErrorIsReportedAsItStands) {
  const Status reason = ReasonFromLog("(00.01) Error (criu/new.c:7): A thing nobody knows\n");

  EXPECT_THAT(reason, StatusIs(Code::kUnknown, HasSubstr("A thing nobody knows")));
  EXPECT_EQ(reason.reason(), Reason::kCriuFailed);
  EXPECT_THAT(reason.message(), Not(HasSubstr("new.c")));
}

TEST(CriuLogTest, TheFirstErrorThatSaysMoreThanItsFollowersIsTaken) {
  const Status reason = ReasonFromLog(
      "(00.01) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: x\n"
      "(00.02) Error (criu/cr-dump.c:1545): Dump files (pid: 56) failed with -1\n"
      "(00.03) Error (criu/new.c:7): the cause\n"
      "(00.04) Error (criu/new.c:8): its consequence\n"
      "(00.05) Error (criu/cr-dump.c:1975): Dumping FAILED.\n");

  EXPECT_THAT(reason, StatusIs(Code::kUnknown,
                               AllOf(HasSubstr("the cause"), Not(HasSubstr("consequence")))));
}

TEST(CriuLogTest, AKnownErrorWinsOverAnUnknownOneBeforeIt) {
  const Status reason = ReasonFromLog(
      "(00.01) Error (criu/new.c:7): something\n"
      "(00.02) Error (criu/bfd.c:131): bfd: Error flushing image: No space left on device\n");

  EXPECT_THAT(reason, StatusIs(Code::kResourceExhausted));
}

TEST(CriuLogTest, AFollowerIsBetterThanNothing) {
  EXPECT_THAT(ReasonFromLog("(00.1) Error (criu/cr-dump.c:1975): Dumping FAILED.\n"),
              StatusIs(Code::kUnknown, HasSubstr("Dumping FAILED")));
}

TEST(CriuLogTest, ALogWithoutAnErrorGivesNoReason) {
  EXPECT_THAT(ReasonFromLog(""), IsOk());
  EXPECT_THAT(ReasonFromLog("(00.1) Dumping finished successfully\n"), IsOk());
  EXPECT_THAT(ReasonFromLog("(00.1) Warn  (criu/x.c:1): Can't lookup nothing\n"), IsOk());
}

TEST(CriuLogTest, ALastLineWithoutANewlineCounts) {
  EXPECT_THAT(ReasonFromLog("Error (criu/x.c:1): cut off"),
              StatusIs(Code::kUnknown, HasSubstr("cut off")));
}

TEST(CriuLogTest, AStrangersBytesDoNotReachTheTerminal) {
  const Status reason =
      ReasonFromLog("(00.01) Error (criu/x.c:1): Can't open /a\x1b]0;pwned\x07\xff\r\n");

  for (const char byte : reason.message()) {
    EXPECT_TRUE(byte >= 0x20 && byte <= 0x7e) << static_cast<int>(byte);
  }
}

TEST(CriuLogTest, ATabThatCriuIndentsByIsASpace) {
  const Status reason = ReasonFromLog("Error (criu/x.c:1): fsnotify: \tCan't dump that handle\n");

  EXPECT_THAT(reason.message(), HasSubstr("fsnotify:  Can't dump that handle"));
}

TEST(CriuLogTest, ALineWithoutEndIsCut) {
  const Status reason = ReasonFromLog("Error (criu/x.c:1): " + std::string(1 << 20, 'a'));

  EXPECT_LE(reason.message().size(), 1024u);
  EXPECT_THAT(reason.message(), ::testing::EndsWith("..."));
}

TEST(CriuLogTest, OfAnEndlessLogTheLastFourMebibytesAreLookedAt) {
  const std::string early = "Error (criu/x.c:1): No space left on device\n";
  const std::string late = "Error (criu/x.c:2): the end\n";

  const Status reason = ReasonFromLog(early + std::string(5 << 20, '\n') + late);

  EXPECT_THAT(reason, StatusIs(Code::kUnknown, HasSubstr("the end")));
}

}  // namespace
}  // namespace cryopod::criu
