#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "cri/runtime_client.h"
#include "tests/fakes/fake_cri_server.h"
#include "tests/fakes/late_socket.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::cri {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::IsOk;
using test::Soon;
using test::StatusIs;
using testing::HasSubstr;

constexpr char kPod[] = R"({"metadata": {"name": "web", "namespace": "shop", "uid": "u-1"}})";
constexpr char kApp[] = R"({"metadata": {"name": "app"}})";

class RuntimeClientFailureTest : public testing::Test {
 protected:
  // gRPC waits a little before it connects anew.
  void ExpectAnswerInTheEnd() {
    const Deadline deadline = Deadline::After(seconds(10));
    Status status = client_.Version(deadline).status();
    while (!status.ok() && !deadline.expired()) {
      std::this_thread::sleep_for(milliseconds(20));
      status = client_.Version(deadline).status();
    }
    EXPECT_THAT(status, IsOk());
  }
  // `call` ends with its deadline, and says what was called.
  template <typename Call>
  static void ExpectEndAtDeadline(const Call& call, const std::string& called) {
    const auto start = Deadline::Clock::now();
    const Status status = call(Deadline::After(milliseconds(400)));

    EXPECT_THAT(status, StatusIs(Code::kDeadlineExceeded, HasSubstr(called)));
    EXPECT_GE(Deadline::Clock::now() - start, milliseconds(390));
    EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
  }

  test::TempDirectory temp_;
  const std::string socket_ = temp_.path() / "cri.sock";
  RuntimeClient client_{socket_};
};

TEST_F(RuntimeClientFailureTest, AnAbsentSocketIsUnavailableAtOnceAndARuntimeThatComesUpIsFound) {
  const auto start = Deadline::Clock::now();
  EXPECT_THAT(client_.Version(Soon()), StatusIs(Code::kUnavailable, HasSubstr(socket_)));
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));

  const test::FakeCriServer server(socket_);
  ExpectAnswerInTheEnd();
}

TEST_F(RuntimeClientFailureTest, ARuntimeThatIsRestartedIsFoundAgain) {
  auto server = std::make_unique<test::FakeCriServer>(socket_);
  ASSERT_THAT(client_.Version(Soon()), IsOk());
  server.reset();
  ASSERT_FALSE(client_.Version(Soon()).ok());

  server = std::make_unique<test::FakeCriServer>(socket_);

  ExpectAnswerInTheEnd();
}

TEST_F(RuntimeClientFailureTest, ARuntimeThatStandsStillIsWaitedFor) {
  const test::FakeCriServer server(temp_.path() / "late.sock");
  const test::LateSocket late(socket_, temp_.path() / "late.sock", milliseconds(1500));

  EXPECT_THAT(client_.Version(Soon()), IsOk());
}

TEST_F(RuntimeClientFailureTest, ARuntimeThatStandsStillIsWaitedForNoLongerThanTheDeadline) {
  const test::FakeCriServer server(temp_.path() / "late.sock");
  const test::LateSocket late(socket_, temp_.path() / "late.sock", seconds(60));

  ExpectEndAtDeadline([&](Deadline deadline) { return client_.Version(deadline).status(); },
                      socket_);
}

class RuntimeClientAnswerTest : public RuntimeClientFailureTest {
 protected:
  test::FakeCriServer server_{socket_};
  const std::string pod_ = server_.AddPod(kPod);
  const std::string container_ = server_.AddContainer(pod_, kApp, 1);
};

TEST_F(RuntimeClientAnswerTest, ACallThatHangsEndsAtItsDeadline) {
  server_.Hang("StartContainer");

  ExpectEndAtDeadline([&](Deadline deadline) { return client_.StartContainer("4f", deadline); },
                      "StartContainer 4f");
}

TEST_F(RuntimeClientAnswerTest, TheDeadlineCoversAllCallsOfADescription) {
  server_.Hang("ContainerStatus");

  ExpectEndAtDeadline(
      [&](Deadline deadline) { return client_.DescribePodSandbox(pod_, deadline).status(); },
      "ContainerStatus " + container_);
}

TEST_F(RuntimeClientAnswerTest, AnExpiredDeadlineAsksNobody) {
  EXPECT_THAT(client_.StartContainer("4f", Deadline::After(seconds(-1))),
              StatusIs(Code::kDeadlineExceeded));

  EXPECT_TRUE(server_.calls().empty());
}

TEST_F(RuntimeClientAnswerTest, ADeadlineInTheFarFutureIsNoDeadlineInThePast) {
  EXPECT_THAT(client_.Version(Deadline::After(std::chrono::hours(24 * 365 * 200))), IsOk());
}

TEST_F(RuntimeClientAnswerTest, AnAnswerMayBeLargerThanGrpcsDefaultButHasALimit) {
  server_.PadVerboseAnswers(size_t{12} << 20);
  EXPECT_THAT(client_.DescribePodSandbox(pod_, Soon()), IsOk());

  server_.PadVerboseAnswers(size_t{17} << 20);
  EXPECT_THAT(client_.DescribePodSandbox(pod_, Soon()), StatusIs(Code::kResourceExhausted));
}

TEST_F(RuntimeClientAnswerTest, TheRuntimesOwnCodeAndWordsComeThrough) {
  server_.FailNext("StopContainer", Code::kPermissionDenied, "not today");
  EXPECT_THAT(client_.StopContainer("4f", 1, Soon()),
              StatusIs(Code::kPermissionDenied, "StopContainer 4f at " + socket_ + ": not today"));

  // Of an error that quotes a log nothing is cut off.
  const std::string log(60'000, 'l');
  server_.FailNext("StartContainer", Code::kUnknown, log);
  EXPECT_THAT(client_.StartContainer("4f", Soon()), StatusIs(Code::kUnknown, HasSubstr(log)));

  // One without words is named by its code.
  server_.FailNext("RemoveContainer", Code::kUnknown, "");
  EXPECT_THAT(client_.RemoveContainer("4f", Soon()),
              StatusIs(Code::kUnknown, HasSubstr("UNKNOWN")));
}

TEST_F(RuntimeClientAnswerTest, AVerboseAnswerOfAnotherShapeNamesTheContainer) {
  server_.SetVerboseInfo(container_, "<xml/>");

  EXPECT_THAT(client_.ContainerStatus(container_, Soon()),
              StatusIs(Code::kInternal, HasSubstr(container_)));
}

}  // namespace
}  // namespace cryopod::cri
