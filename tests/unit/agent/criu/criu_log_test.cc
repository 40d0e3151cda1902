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
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// Logs of CRIU 4.2.1 on Linux 6.18, each cut to its end.
struct RecordedFailure {
  std::string log;
  std::string reason;
  Code code = Code::kFailedPrecondition;
};

TEST(CriuLogTest, ARecordedFailureIsExplainedInASentenceAndHasAWordOfItsOwn) {
  const RecordedFailure failures[] = {
      {"io_uring", "io_uring"},
      {"unix_socket_outside", "unix socket outside"},
      {"big_deleted_file", "/data/g of 3145728"},
      {"link_remap", "another name"},
      {"traced", "debugger"},
      {"userfaultfd", "uses userfaultfd"},
      {"perf_event", "perf event"},
      {"device", "chr 10:229"},
      {"mptcp", "GODEBUG"},
      {"vsock", "family 40"},
      {"corked_udp", "UDP_CORK"},
      {"nested_pid_namespace", "PID namespace"},
      {"nested_user_namespace", "user namespace"},
      {"secret_memory", "memfd_secret"},
      {"pidfd_outside", "pidfd"},
      {"sysv_outside", "hostIPC"},
      {"path_outside", "outside the container's mounts"},
      {"not_stoppable", "could not be stopped in time", Code::kDeadlineExceeded},
      {"rlimit", "CAP_SYS_RESOURCE", Code::kPermissionDenied},
      {"disk_full", "full", Code::kResourceExhausted},
      {"restore_pid_taken", "PID"},
      {"restore_bad_size", "data/cnt has bad size"},
      {"restore_file_absent", "data/cnt"},
      {"restore_tcp_close", "TCP connections closed", Code::kInternal},
  };
  for (const RecordedFailure& failure : failures) {
    SCOPED_TRACE(failure.log);
    const Status status = ReasonFromLog(test::ReadTestData("logs/" + failure.log + ".log"));
    EXPECT_THAT(status, StatusIs(failure.code, HasSubstr(failure.reason)));
    EXPECT_THAT(status.message(), Not(HasSubstr("RLIMIT_NOFILE")));
    EXPECT_NE(status.reason(), Reason::kRefused);
    EXPECT_NE(status.reason(), Reason::kCriuFailed);
  }
}

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

TEST(CriuLogTest, TheFirstErrorThatSaysMoreThanItsFollowersIsTakenAndAKnownOneWins) {
  const std::string full = "Error (criu/x.c:1): No space left on device\n";
  const struct {
    std::string log;
    Code code;
    const char* end;
  } logs[] = {
      {"(00.01) Error (criu/new.c:7): A thing nobody knows\n", Code::kUnknown,
       "CRIU failed: A thing nobody knows"},
      {"(00.01) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: x\n"
       "(00.02) Error (criu/cr-dump.c:1545): Dump files (pid: 56) failed with -1\n"
       "(00.03) Error (criu/new.c:7): the cause\n"
       "(00.04) Error (criu/new.c:8): its consequence\n"
       "(00.05) Error (criu/cr-dump.c:1975): Dumping FAILED.\n",
       Code::kUnknown, "CRIU failed: the cause"},
      {"(00.01) Error (criu/new.c:7): something\n" + full, Code::kResourceExhausted,
       "(CRIU: No space left on device)"},
      // Better than nothing, and a last line without a newline counts.
      {"(00.1) Error (criu/cr-dump.c:1975): Dumping FAILED.", Code::kUnknown, "Dumping FAILED."},
      {"Error (criu/x.c:1): fsnotify: \tCan't dump that handle\n", Code::kFailedPrecondition,
       "(CRIU: fsnotify:  Can't dump that handle)"},
      // Of an endless log the last four mebibytes are looked at.
      {full + std::string(5 << 20, '\n') + "Error (criu/x.c:2): the end\n", Code::kUnknown,
       "CRIU failed: the end"},
  };
  for (const auto& [log, code, end] : logs) {
    EXPECT_THAT(ReasonFromLog(log), StatusIs(code, EndsWith(end)));
  }
  EXPECT_EQ(ReasonFromLog(logs[0].log).reason(), Reason::kCriuFailed);
}

TEST(CriuLogTest, ALogWithoutAnErrorGivesNoReason) {
  EXPECT_THAT(ReasonFromLog(""), IsOk());
  EXPECT_THAT(ReasonFromLog("(00.1) Dumping finished successfully\n"), IsOk());
  EXPECT_THAT(ReasonFromLog("(00.1) Warn  (criu/x.c:1): Can't lookup nothing\n"), IsOk());
}

TEST(CriuLogTest, AStrangersBytesDoNotReachTheTerminal) {
  const Status reason =
      ReasonFromLog("(00.01) Error (criu/x.c:1): Can't open /a\x1b]0;pwned\x07\xff\r\n");

  for (const char byte : reason.message()) {
    EXPECT_TRUE(byte >= 0x20 && byte <= 0x7e) << static_cast<int>(byte);
  }
}

TEST(CriuLogTest, ALineWithoutEndIsCut) {
  const Status reason = ReasonFromLog("Error (criu/x.c:1): " + std::string(1 << 20, 'a'));

  EXPECT_LE(reason.message().size(), 1024u);
  EXPECT_THAT(reason.message(), EndsWith("..."));
}

}  // namespace
}  // namespace cryopod::criu
