#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "cri/runtime_client.h"
#include "tests/fakes/fake_cri_server.h"
#include "tests/fakes/late_socket.h"
#include "tests/support/soon.h"
#include "tests/support/temp_directory.h"

namespace cryopod::cri {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Soon;
using testing::HasSubstr;

constexpr char kPod[] = R"({"metadata": {"name": "web", "namespace": "shop", "uid": "u-1"}})";
constexpr char kApp[] = R"({"metadata": {"name": "app"}})";

class RuntimeClientFailureTest : public testing::Test {
 protected:
  // gRPC waits a little before it connects anew.
  static Status AskUntilAnswered(RuntimeClient* client) {
    const Deadline deadline = Deadline::After(seconds(10));
    Status status = client->Version(deadline).status();
    while (!status.ok() && !deadline.expired()) {
      std::this_thread::sleep_for(milliseconds(20));
      status = client->Version(deadline).status();
    }
    return status;
  }

  test::TempDirectory temp_;
  const std::string socket_ = temp_.path() / "cri.sock";
};

TEST_F(RuntimeClientFailureTest, AnAbsentSocketIsUnavailableAtOnceAndNamed) {
  RuntimeClient client(socket_);
  const auto start = Deadline::Clock::now();

  const Result<RuntimeVersion> version = client.Version(Soon());

  EXPECT_EQ(version.status().code(), Code::kUnavailable);
  EXPECT_THAT(version.status().message(), HasSubstr(socket_));
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

TEST_F(RuntimeClientFailureTest, ARuntimeThatComesUpIsFoundByTheSameClient) {
  RuntimeClient client(socket_);
  ASSERT_EQ(client.Version(Soon()).status().code(), Code::kUnavailable);
  const test::FakeCriServer server(socket_);

  const Status status = AskUntilAnswered(&client);

  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(RuntimeClientFailureTest, ARuntimeThatIsRestartedIsFoundAgain) {
  auto server = std::make_unique<test::FakeCriServer>(socket_);
  RuntimeClient client(socket_);
  ASSERT_TRUE(client.Version(Soon()).ok());
  server.reset();
  ASSERT_FALSE(client.Version(Soon()).ok());
  server = std::make_unique<test::FakeCriServer>(socket_);

  const Status status = AskUntilAnswered(&client);

  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(RuntimeClientFailureTest, ARuntimeThatStandsStillIsWaitedFor) {
  const test::FakeCriServer server(temp_.path() / "late.sock");
  const test::LateSocket late(socket_, temp_.path() / "late.sock", milliseconds(1500));
  RuntimeClient client(socket_);

  const Status status = client.Version(Soon()).status();

  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(RuntimeClientFailureTest, ARuntimeThatStandsStillIsWaitedForNoLongerThanTheDeadline) {
  const test::FakeCriServer server(temp_.path() / "late.sock");
  const test::LateSocket late(socket_, temp_.path() / "late.sock", seconds(60));
  RuntimeClient client(socket_);
  const auto start = Deadline::Clock::now();

  const Status status = client.Version(Deadline::After(milliseconds(800))).status();

  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr(socket_));
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(790));
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

TEST_F(RuntimeClientFailureTest, ACallThatHangsEndsAtItsDeadline) {
  test::FakeCriServer server(socket_);
  server.Hang("StartContainer");
  RuntimeClient client(socket_);
  const auto start = Deadline::Clock::now();

  const Status status = client.StartContainer("4f", Deadline::After(milliseconds(200)));

  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("StartContainer 4f"));
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(190));
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

TEST_F(RuntimeClientFailureTest, TheDeadlineCoversAllCallsOfADescription) {
  test::FakeCriServer server(socket_);
  const std::string id = server.AddPod(kPod);
  server.AddContainer(id, kApp, 1);
  server.Hang("ContainerStatus");
  RuntimeClient client(socket_);

  const Result<PodSandbox> sandbox =
      client.DescribePodSandbox(id, Deadline::After(milliseconds(300)));

  EXPECT_EQ(sandbox.status().code(), Code::kDeadlineExceeded);
}

TEST_F(RuntimeClientFailureTest, AnExpiredDeadlineAsksNobody) {
  const test::FakeCriServer server(socket_);
  RuntimeClient client(socket_);

  const Status status = client.StartContainer("4f", Deadline::After(seconds(-1)));

  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(server.calls().empty());
}

TEST_F(RuntimeClientFailureTest, ADeadlineInTheFarFutureIsNoDeadlineInThePast) {
  const test::FakeCriServer server(socket_);
  RuntimeClient client(socket_);

  const Status status =
      client.Version(Deadline::After(std::chrono::hours(24 * 365 * 200))).status();

  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(RuntimeClientFailureTest, AnAnswerAboveTheLimitIsRefused) {
  test::FakeCriServer server(socket_);
  const std::string id = server.AddPod(kPod);
  server.PadVerboseAnswers(size_t{17} << 20);
  RuntimeClient client(socket_);

  const Result<PodSandbox> sandbox = client.DescribePodSandbox(id, Soon());

  EXPECT_EQ(sandbox.status().code(), Code::kResourceExhausted);
}

TEST_F(RuntimeClientFailureTest, AnAnswerAboveTheDefaultLimitOfGrpcIsTaken) {
  test::FakeCriServer server(socket_);
  const std::string id = server.AddPod(kPod);
  server.PadVerboseAnswers(size_t{12} << 20);
  RuntimeClient client(socket_);

  const Result<PodSandbox> sandbox = client.DescribePodSandbox(id, Soon());

  EXPECT_TRUE(sandbox.ok()) << sandbox.status().message();
}

TEST_F(RuntimeClientFailureTest, TheRuntimesOwnCodeAndWordsComeThrough) {
  test::FakeCriServer server(socket_);
  server.FailNext("StopContainer", Code::kPermissionDenied, "not today");
  RuntimeClient client(socket_);

  const Status status = client.StopContainer("4f", 1, Soon());

  EXPECT_EQ(status.code(), Code::kPermissionDenied);
  EXPECT_EQ(status.message(), "StopContainer 4f at " + socket_ + ": not today");
}

TEST_F(RuntimeClientFailureTest, AnErrorThatQuotesALogArrivesWhole) {
  test::FakeCriServer server(socket_);
  const std::string log(60'000, 'l');
  server.FailNext("StartContainer", Code::kUnknown, log);
  RuntimeClient client(socket_);

  const Status status = client.StartContainer("4f", Soon());

  EXPECT_EQ(status.code(), Code::kUnknown);
  EXPECT_THAT(status.message(), HasSubstr(log));
}

TEST_F(RuntimeClientFailureTest, AnErrorWithoutWordsIsNamedByItsCode) {
  test::FakeCriServer server(socket_);
  server.FailNext("RemoveContainer", Code::kUnknown, "");
  RuntimeClient client(socket_);

  const Status status = client.RemoveContainer("4f", Soon());

  EXPECT_EQ(status.code(), Code::kUnknown);
  EXPECT_THAT(status.message(), HasSubstr("UNKNOWN"));
}

TEST_F(RuntimeClientFailureTest, AVerboseAnswerOfAnotherShapeNamesTheContainer) {
  test::FakeCriServer server(socket_);
  const std::string container = server.AddContainer(server.AddPod(kPod), kApp, 1);
  server.SetVerboseInfo(container, "<xml/>");
  RuntimeClient client(socket_);

  const Result<Container> described = client.ContainerStatus(container, Soon());

  EXPECT_EQ(described.status().code(), Code::kInternal);
  EXPECT_THAT(described.status().message(), HasSubstr(container));
}

}  // namespace
}  // namespace cryopod::cri
