#include "restore/runtime/protocol/messages.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "agent/os/unique_fd.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"

namespace cryopod::wrapper {
namespace {

using test::Soon;

Request FullRequest() {
  Request request;
  request.kind = Request::Kind::kCreate;
  request.container_id = "c1";
  request.sandbox_id = "s1";
  request.pod_name = "web";
  request.pod_namespace = "default";
  request.pod_uid = "u-1";
  request.container_name = "app";
  request.restore_from = "web-1@sha256:00";
  request.restore_operation = "op-1";
  request.bundle = "/bundle";
  request.state_dir = "/run/runc/c1";
  request.rootfs = "/bundle/rootfs";
  request.cgroups_path = "/k8s.io/c1";
  request.namespace_paths = {{"uts", "/proc/1/ns/uts"}, {"ipc", "/proc/1/ns/ipc"}};
  request.cgroup_namespace = true;
  request.hard_limits = {1024, ~uint64_t{0}};
  request.seccomp_filters = {{{1, ~uint64_t{0}}, 2}, {{3}, 0}};
  request.seccomp_failure = "no such profile";
  request.restore_once = true;
  request.cold_start = true;
  request.differences = "image";
  request.image = "app:1";
  request.image_ref = "app@sha256:01";
  request.image_id = "sha256:02";
  request.failure = "no such archive";
  request.failure_reason = "not_found";
  return request;
}

class MessagesTest : public ::testing::Test {
 protected:
  MessagesTest() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    here_.Reset(fds[0]);
    there_.Reset(fds[1]);
  }
  Result<Answer> AnswerOf(const Answer& answer) {
    EXPECT_THAT(Send(here_.get(), answer, Soon()), test::IsOk());
    return ReceiveAnswer(there_.get(), Soon());
  }
  Result<Answer> AnswerOfBytes(const std::string& bytes) {
    EXPECT_THAT(SendFrame(here_.get(), bytes, Soon()), test::IsOk());
    return ReceiveAnswer(there_.get(), Soon());
  }

  UniqueFd here_;
  UniqueFd there_;
};

TEST_F(MessagesTest, EveryMessageArrivesWithEveryField) {
  EXPECT_THAT(ParseRequest(Serialize(FullRequest())), test::IsOkAnd(FullRequest()));
  const Plan plan = {"/images",
                     "/attempt",
                     "/attempt/criu.conf",
                     "/usr/sbin/criu",
                     {"/attempt/hold.conf", "/sys/fs/cgroup/c1", "/attempt/record_locks"}};
  for (const Answer& answer :
       {Answer::Restore(plan), Answer::Finished(), Answer::Fail("no such archive"),
        Answer::Refuse(Status(Code::kNotFound, "no such archive"))}) {
    EXPECT_THAT(AnswerOf(answer), test::IsOkAnd(answer));
  }
}

TEST_F(MessagesTest, FiltersThatAreKeptComeBackAndWhatIsNoneIsRefused) {
  const FilterRecord record{"runc 1 2 3", {{{1, ~uint64_t{0}}, 2}}};

  EXPECT_THAT(ParseFilterRecord(Serialize(record)), test::IsOkAnd(record));
  EXPECT_THAT(ParseFilterRecord("\x0a\xff"), test::StatusIs(Code::kDataLoss));
}

TEST_F(MessagesTest, AColdStartIsAskedForByAKindOfItsOwn) {
  Request request = FullRequest();
  request.kind = Request::Kind::kColdStart;

  EXPECT_THAT(ParseRequest(Serialize(request)), test::IsOkAnd(request));
}

TEST_F(MessagesTest, OnlyWhatNoLaterTryWouldFindOtherwiseMayStartCold) {
  const Answer absent = Answer::Refuse(Status(Code::kNotFound, "no such archive"));
  EXPECT_EQ(absent.decision, Answer::Decision::kFail);
  EXPECT_TRUE(absent.may_start_cold);
  EXPECT_EQ(absent.reason_code, "not_found");
  for (const Code code : {Code::kAborted, Code::kResourceExhausted, Code::kDeadlineExceeded,
                          Code::kUnavailable, Code::kInternal, Code::kInvalidArgument}) {
    EXPECT_FALSE(Answer::Refuse(Status(code, "now")).may_start_cold) << CodeName(code);
  }
}

TEST_F(MessagesTest, APlanArrivesOnlyWithRestore) {
  const Plan plan = {"/images", "/attempt", "/attempt/criu.conf", "/usr/sbin/criu"};

  EXPECT_THAT(AnswerOf({Answer::Decision::kPass, "", plan, false, ""}),
              test::IsOkAnd(Answer::Pass()));
}

TEST_F(MessagesTest, AnOutcomeArrivesWithItsLogCut) {
  Outcome outcome{true, 4711, std::string(2 * kOutcomeLogBytesMax, 'x')};
  ASSERT_THAT(Send(here_.get(), outcome, Soon()), test::IsOk());

  const Result<Outcome> received = ReceiveOutcome(there_.get(), Soon());

  outcome.log.resize(kOutcomeLogBytesMax);
  EXPECT_THAT(received, test::IsOkAnd(outcome));
}

TEST_F(MessagesTest, GarbageAndWhatHasNoKnownKindOrDecisionIsRefused) {
  for (const std::string bytes : {"\xff\xff\xff", "", "\x08\x63"}) {
    EXPECT_THAT(ParseRequest(bytes), test::StatusIs(Code::kDataLoss));
    EXPECT_THAT(AnswerOfBytes(bytes), test::StatusIs(Code::kDataLoss));
  }
  ASSERT_THAT(SendFrame(here_.get(), "\xff\xff\xff", Soon()), test::IsOk());
  EXPECT_THAT(ReceiveOutcome(there_.get(), Soon()), test::StatusIs(Code::kDataLoss));
}

TEST_F(MessagesTest, APeerThatIsGoneIsToldFromOneThatIsSilent) {
  EXPECT_THAT(ReceiveAnswer(here_.get(), Deadline::After(std::chrono::milliseconds(20))),
              test::StatusIs(Code::kDeadlineExceeded));

  there_.Reset();

  EXPECT_THAT(ReceiveAnswer(here_.get(), Soon()), test::StatusIs(Code::kUnavailable));
}

}  // namespace
}  // namespace cryopod::wrapper
