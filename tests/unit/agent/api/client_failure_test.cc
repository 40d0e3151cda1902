#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "agent/api/client.h"
#include "agent/os/unique_fd.h"
#include "tests/fakes/fake_agent_server.h"
#include "tests/fakes/late_socket.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::api {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::IsOk;
using test::Soon;
using test::StatusIs;
using testing::HasSubstr;

// Nobody listens yet.
class ClientFailureTest : public testing::Test {
 protected:
  // An agent that stands still for this long.
  auto Late(milliseconds wait) const {
    return test::LateSocket(socket_, temp_.path() / "late.sock", wait);
  }
  Status List(Deadline deadline = Soon()) { return client_.List("", deadline).status(); }

  test::TempDirectory temp_;
  const std::string socket_ = temp_.path() / "agent.sock";
  Client client_{socket_};
};

class FailingAgentTest : public ClientFailureTest {
 protected:
  Status Checkpoint(FailureDetails* details = nullptr, Deadline deadline = Soon()) {
    return client_.Checkpoint({}, nullptr, deadline, details).status();
  }
  void AddArchive(size_t size_bytes) {
    ArchiveSummary summary;
    summary.name = "web1";
    server_.AddArchive(summary, std::string(size_bytes, 'x'));
  }

  test::FakeAgentServer server_{socket_};
  const UniqueFd empty_{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
};

TEST_F(ClientFailureTest, AnAbsentSocketIsUnavailableAndNamed) {
  EXPECT_THAT(List(), StatusIs(Code::kUnavailable, HasSubstr("nobody listens on " + socket_)));
}

TEST_F(ClientFailureTest, AFileInTheSocketsPlaceIsUnavailableAndNamed) {
  std::ofstream(socket_) << "not a socket";

  EXPECT_THAT(client_.Checkpoint({}, nullptr, Soon()),
              StatusIs(Code::kUnavailable, HasSubstr(socket_)));
}

TEST_F(ClientFailureTest, AnAgentThatStandsStillIsWaitedForByEveryCall) {
  test::FakeAgentServer server(temp_.path() / "late.sock");
  ArchiveSummary summary;
  summary.name = "web1";
  server.AddArchive(summary, "bytes");
  const auto call = [this](const auto& act) {
    const test::LateSocket late = Late(milliseconds(700));
    Client client(socket_);
    EXPECT_THAT(act(client), IsOk());
  };
  const UniqueFd empty(::open("/dev/null", O_RDONLY | O_CLOEXEC));

  call([](Client& client) { return client.List("", Soon()).status(); });
  call([](Client& client) { return client.Checkpoint({}, nullptr, Soon()).status(); });
  call([](Client& client) { return client.Restore({}, nullptr, Soon()).status(); });
  call([](Client& client) {
    return client.Export(
        "web1", "", [](std::string_view) { return Status(); }, Soon());
  });
  call([&empty](Client& client) { return client.Import("web2", empty.get(), Soon()).status(); });
}

TEST_F(ClientFailureTest, AnAgentThatStandsStillIsWaitedForNoLongerThanTheDeadline) {
  const test::FakeAgentServer server(temp_.path() / "late.sock");
  const test::LateSocket late = Late(seconds(60));
  const auto start = Deadline::Clock::now();

  EXPECT_THAT(List(Deadline::After(milliseconds(800))),
              StatusIs(Code::kDeadlineExceeded, HasSubstr(socket_)));

  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(790));
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

TEST_F(ClientFailureTest, AClientThatGaveUpOnceFindsTheAgentThatWokeUp) {
  const test::FakeAgentServer server(temp_.path() / "late.sock");
  const test::LateSocket late = Late(milliseconds(1500));
  ASSERT_THAT(List(Deadline::After(milliseconds(500))), StatusIs(Code::kDeadlineExceeded));

  EXPECT_THAT(List(), IsOk());
}

TEST_F(ClientFailureTest, AnAgentThatEndsWhileItStandsStillIsNoAgent) {
  auto late = std::make_unique<test::LateSocket>(socket_, "", seconds(60));
  std::jthread ends([&late] {
    std::this_thread::sleep_for(milliseconds(500));
    late.reset();
  });

  EXPECT_THAT(List(), StatusIs(Code::kUnavailable, HasSubstr("no answer from the agent")));
}

TEST_F(ClientFailureTest, AnAgentThatLetsNobodyInIsBusyAndNotAbsent) {
  const UniqueFd listener = ListenUnix(socket_, 0600).value();
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  const UniqueFd first = ConnectUnix(socket_, Soon()).value();
  ASSERT_FALSE(ConnectUnix(socket_, Deadline::After(milliseconds(50))).ok());

  EXPECT_THAT(List(), StatusIs(Code::kDeadlineExceeded, HasSubstr("busy")));
}

TEST_F(FailingAgentTest, ARuntimeThatDoesNotAnswerKeepsTheAgentsWords) {
  server_.FailNext("Checkpoint", Code::kUnavailable, "containerd.sock: connection refused");

  EXPECT_THAT(Checkpoint(), StatusIs(Code::kUnavailable, "containerd.sock: connection refused"));
}

TEST_F(FailingAgentTest, AnOperationThatHangsEndsAtItsDeadline) {
  server_.Hang("Checkpoint");
  const auto start = Deadline::Clock::now();

  EXPECT_THAT(Checkpoint(nullptr, Deadline::After(milliseconds(200))),
              StatusIs(Code::kDeadlineExceeded));

  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

TEST_F(FailingAgentTest, AnErrorAfterTheLastEventIsTheOperationsError) {
  server_.SetCheckpoint({{"op", "dump", "db", 0, 0}}, {});
  server_.FailAtEnd("Checkpoint", Status(Code::kFailedPrecondition, "io_uring in container db"));
  int events = 0;
  const auto count = [&events](const Progress&) { ++events; };

  EXPECT_THAT(client_.Checkpoint({}, count, Soon()),
              StatusIs(Code::kFailedPrecondition, "io_uring in container db"));

  EXPECT_EQ(events, 1);
}

TEST_F(FailingAgentTest, AFailedOperationTellsItsIdAndWhereItsLogsAre) {
  for (const char* method : {"Checkpoint", "Restore", "Wait"}) {
    server_.FailAtEnd(method, Status(Code::kInternal, "no"), {"op1", "/var/lib/cryopod/logs/op1"});
  }
  FailureDetails checkpoint;
  FailureDetails restore;
  FailureDetails wait;

  EXPECT_FALSE(Checkpoint(&checkpoint).ok());
  EXPECT_FALSE(client_.Restore({}, nullptr, Soon(), &restore).ok());
  EXPECT_FALSE(client_.Wait("op1", nullptr, Soon(), &wait).ok());

  for (const FailureDetails& details : {checkpoint, restore, wait}) {
    EXPECT_EQ(details.operation_id, "op1");
    EXPECT_EQ(details.log_folder, "/var/lib/cryopod/logs/op1");
  }
}

TEST_F(FailingAgentTest, WhatBeganNoOperationTellsNone) {
  server_.FailNext("Checkpoint", Code::kNotFound, "no such pod");
  FailureDetails details;

  EXPECT_FALSE(Checkpoint(&details).ok());

  EXPECT_EQ(details.operation_id, "");
  EXPECT_EQ(details.log_folder, "");
}

TEST_F(FailingAgentTest, WhatTheAgentSaysOfAnOperationIsTheError) {
  server_.FailNext("Cancel op9", Code::kFailedPrecondition, "op9 has ended");
  server_.FailNext("Wait op9", Code::kNotFound, "no operation op9");
  server_.FailNext("Logs op9", Code::kNotFound, "op9 has no logs");

  EXPECT_EQ(client_.Cancel("op9", Soon()).message(), "op9 has ended");
  EXPECT_EQ(client_.Wait("op9", nullptr, Soon()).status().message(), "no operation op9");
  EXPECT_EQ(client_.Logs("op9", nullptr, Soon()).message(), "op9 has no logs");
}

TEST_F(FailingAgentTest, LogsAndExportsEndWithTheErrorOfTheirReceiver) {
  server_.AddLog("app.dump.log", "one");
  server_.AddLog("db.dump.log", "two");
  AddArchive(2'000'000);
  int pieces = 0;
  const auto refuse = [&pieces] {
    ++pieces;
    return Status(Code::kResourceExhausted, "disk full");
  };
  const auto logs = [&](std::string_view, std::string_view) { return refuse(); };
  const auto bytes = [&](std::string_view) { return refuse(); };

  EXPECT_THAT(client_.Logs("op1", logs, Soon()), StatusIs(Code::kResourceExhausted, "disk full"));
  EXPECT_EQ(pieces, 1);
  EXPECT_THAT(client_.Export("web1", "", bytes, Soon()),
              StatusIs(Code::kResourceExhausted, "disk full"));
  EXPECT_EQ(pieces, 2);
}

TEST_F(FailingAgentTest, EveryReasonTravelsBesideTheMessage) {
  for (int number = 1; number < kReasonCount; ++number) {
    const auto reason = static_cast<Reason>(number);
    server_.FailNext("List", Code::kAborted, "no", reason);

    EXPECT_EQ(List().reason(), reason) << ReasonName(reason);
  }
}

TEST_F(FailingAgentTest, AReasonTravelsWithStreamsToo) {
  server_.FailAtEnd("Checkpoint", Status(Code::kAborted, "no", Reason::kPodChanged));
  server_.FailNext("Import", Code::kResourceExhausted, "no", Reason::kNoSpace);
  server_.FailNext("Export", Code::kFailedPrecondition, "no", Reason::kMount);

  EXPECT_EQ(Checkpoint().reason(), Reason::kPodChanged);
  EXPECT_EQ(client_.Import("web1", empty_.get(), Soon()).status().reason(), Reason::kNoSpace);
  EXPECT_EQ(client_.Export("web1", "", nullptr, Soon()).reason(), Reason::kMount);
}

TEST_F(FailingAgentTest, AReasonOfANewerAgentIsTheOneOfItsCode) {
  for (const char* const word : {"phase_of_the_moon", "BUSY", ""}) {
    server_.FailNextAsNewer("List", Code::kFailedPrecondition, "no", word);

    EXPECT_EQ(List().reason(), Reason::kRefused) << word;
  }
}

TEST_F(FailingAgentTest, AnErrorThatNamesManyReasonsArrivesWhole) {
  const std::string reasons(60'000, 'r');
  server_.FailNext("Checkpoint", Code::kFailedPrecondition, reasons);

  EXPECT_THAT(Checkpoint(), StatusIs(Code::kFailedPrecondition, reasons));
}

TEST_F(FailingAgentTest, AnOperationWithoutAResultIsNoSuccess) {
  server_.WithholdResults();

  EXPECT_THAT(Checkpoint(), StatusIs(Code::kInternal));
  EXPECT_THAT(client_.Restore({}, nullptr, Soon()), StatusIs(Code::kInternal));
}

TEST_F(FailingAgentTest, AnExportThatBreaksOffIsNoSuccess) {
  AddArchive(200'000);
  server_.FailAtEnd("Export", Status(Code::kDataLoss, "blob sha256:4f is damaged"));
  const auto take = [](std::string_view) { return Status(); };

  EXPECT_THAT(client_.Export("web1", "", take, Soon()), StatusIs(Code::kDataLoss));
}

TEST_F(FailingAgentTest, AnImportThatIsRefusedTellsTheAgentsReason) {
  server_.FailNext("Import", Code::kAlreadyExists, "archive \"web1\" exists already");
  const UniqueFd endless(::open("/dev/zero", O_RDONLY | O_CLOEXEC));

  EXPECT_THAT(client_.Import("web1", endless.get(), Soon()),
              StatusIs(Code::kAlreadyExists, HasSubstr("web1")));
}

TEST_F(FailingAgentTest, AnImportOfAPipeThatStaysSilentEndsAtItsDeadline) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);

  EXPECT_THAT(client_.Import("web1", reader.get(), Deadline::After(milliseconds(200))),
              StatusIs(Code::kDeadlineExceeded));

  EXPECT_FALSE(server_.has_archive("web1"));
}

TEST_F(FailingAgentTest, AnImportOfWhatCannotBeReadLeavesNoArchive) {
  const UniqueFd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

  const Status status = client_.Import("web1", directory.get(), Soon()).status();

  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("the file to import"));
  EXPECT_FALSE(server_.has_archive("web1"));
}

}  // namespace
}  // namespace cryopod::api
