#include "restore/runtime/protocol/messages.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "agent/os/unique_fd.h"
#include "agent/os/unix_socket.h"
#include "tests/support/status_matchers.h"

namespace cryopod::wrapper {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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
  request.terminal = true;
  return request;
}

class Pair {
 public:
  Pair() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    here_.Reset(fds[0]);
    there_.Reset(fds[1]);
  }
  int here() const { return here_.get(); }
  int there() const { return there_.get(); }
  void CloseThere() { there_.Reset(); }

 private:
  UniqueFd here_;
  UniqueFd there_;
};

TEST(MessagesTest, ARequestArrivesWithEveryField) {
  Pair pair;
  const Request request = FullRequest();

  ASSERT_THAT(Send(pair.here(), request, Deadline::After(seconds(1))), test::IsOk());
  const Result<Request> received = ReceiveRequest(pair.there(), Deadline::After(seconds(1)));

  EXPECT_THAT(received, test::IsOkAnd(request));
}

TEST(MessagesTest, APlanArrivesOnlyWithRestore) {
  const Plan plan = {"/images", "/attempt", "/attempt/criu.conf", "op", "/usr/sbin/criu"};

  EXPECT_THAT(ParseAnswer(Serialize(Answer::Restore(plan))), test::IsOkAnd(Answer::Restore(plan)));
  EXPECT_THAT(ParseAnswer(Serialize(Answer{Answer::Decision::kPass, "", plan})),
              test::IsOkAnd(Answer::Pass()));
}

TEST(MessagesTest, AFailureCarriesItsReason) {
  EXPECT_THAT(ParseAnswer(Serialize(Answer::Finished())), test::IsOkAnd(Answer::Finished()));
  EXPECT_THAT(ParseAnswer(Serialize(Answer::Fail("no such archive"))),
              test::IsOkAnd(Answer::Fail("no such archive")));
}

TEST(MessagesTest, AnOutcomeArrivesWithItsLogCut) {
  Outcome outcome{true, 7, 4711, std::string(2 * kOutcomeLogBytesMax, 'x')};

  const Result<Outcome> parsed = ParseOutcome(Serialize(outcome));

  outcome.log.resize(kOutcomeLogBytesMax);
  EXPECT_THAT(parsed, test::IsOkAnd(outcome));
}

TEST(MessagesTest, GarbageIsNoMessage) {
  EXPECT_THAT(ParseRequest("\xff\xff\xff"), test::StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseAnswer("\xff\xff\xff"), test::StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseOutcome("\xff\xff\xff"), test::StatusIs(Code::kDataLoss));
}

TEST(MessagesTest, AMessageWithoutAKnownKindOrDecisionIsRefused) {
  EXPECT_THAT(ParseRequest(""), test::StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseAnswer(""), test::StatusIs(Code::kDataLoss));
  const std::string unknown_enumerator("\x08\x63", 2);
  EXPECT_THAT(ParseRequest(unknown_enumerator), test::StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParseAnswer(unknown_enumerator), test::StatusIs(Code::kDataLoss));
}

TEST(MessagesTest, APeerThatIsGoneIsToldFromOneThatIsSilent) {
  Pair pair;

  const Result<Answer> silent = ReceiveAnswer(pair.here(), Deadline::After(milliseconds(20)));
  pair.CloseThere();
  const Result<Answer> gone = ReceiveAnswer(pair.here(), Deadline::After(seconds(1)));

  EXPECT_THAT(silent, test::StatusIs(Code::kDeadlineExceeded));
  EXPECT_THAT(gone, test::StatusIs(Code::kUnavailable));
}

}  // namespace
}  // namespace cryopod::wrapper
