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
#include "tests/support/temp_directory.h"

namespace cryopod::api {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class ClientFailureTest : public testing::Test {
 protected:
  static Deadline Soon() { return Deadline::After(seconds(20)); }

  test::TempDirectory temp_;
  const std::string socket_ = temp_.path() / "agent.sock";
};

TEST_F(ClientFailureTest, AnAbsentSocketIsUnavailableAndNamed) {
  Client client(socket_);

  const Status status = client.List("", Soon()).status();

  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("nobody listens on " + socket_));
}

TEST_F(ClientFailureTest, AFileInTheSocketsPlaceIsUnavailableAndNamed) {
  std::ofstream(socket_) << "not a socket";
  Client client(socket_);

  const Status status = client.Checkpoint({}, nullptr, Soon()).status();

  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr(socket_));
}

TEST_F(ClientFailureTest, AnAgentThatStandsStillIsWaitedForByEveryCall) {
  test::FakeAgentServer server(temp_.path() / "late.sock");
  ArchiveSummary summary;
  summary.name = "web1";
  server.AddArchive(summary, "bytes");
  const auto call = [this](const auto& act) {
    const test::LateSocket late(socket_, temp_.path() / "late.sock", milliseconds(700));
    Client client(socket_);
    const Status status = act(client);
    EXPECT_TRUE(status.ok()) << status.message();
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
  const test::LateSocket late(socket_, temp_.path() / "late.sock", seconds(60));
  Client client(socket_);
  const auto start = Deadline::Clock::now();

  const Status status = client.List("", Deadline::After(milliseconds(800))).status();

  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr(socket_));
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(790));
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

TEST_F(ClientFailureTest, AClientThatGaveUpOnceFindsTheAgentThatWokeUp) {
  const test::FakeAgentServer server(temp_.path() / "late.sock");
  const test::LateSocket late(socket_, temp_.path() / "late.sock", milliseconds(1500));
  Client client(socket_);
  ASSERT_EQ(client.List("", Deadline::After(milliseconds(500))).status().code(),
            Code::kDeadlineExceeded);

  const Status status = client.List("", Soon()).status();

  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(ClientFailureTest, AnAgentThatEndsWhileItStandsStillIsNoAgent) {
  Client client(socket_);
  auto late = std::make_unique<test::LateSocket>(socket_, "", seconds(60));
  std::jthread ends([&late] {
    std::this_thread::sleep_for(milliseconds(500));
    late.reset();
  });

  const Status status = client.List("", Soon()).status();

  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("no answer from the agent"));
}

TEST_F(ClientFailureTest, AnAgentThatLetsNobodyInIsBusyAndNotAbsent) {
  const UniqueFd listener = ListenUnix(socket_, 0600).value();
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  const UniqueFd first = ConnectUnix(socket_, Soon()).value();
  ASSERT_FALSE(ConnectUnix(socket_, Deadline::After(milliseconds(50))).ok());
  Client client(socket_);

  const Status status = client.List("", Soon()).status();

  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("busy"));
}

TEST_F(ClientFailureTest, ARuntimeThatDoesNotAnswerKeepsTheAgentsWords) {
  test::FakeAgentServer server(socket_);
  server.FailNext("Checkpoint", Code::kUnavailable, "containerd.sock: connection refused");
  Client client(socket_);

  const Status status = client.Checkpoint({}, nullptr, Soon()).status();

  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.message(), "containerd.sock: connection refused");
}

TEST_F(ClientFailureTest, AnOperationThatHangsEndsAtItsDeadline) {
  test::FakeAgentServer server(socket_);
  server.Hang("Checkpoint");
  Client client(socket_);
  const auto start = Deadline::Clock::now();

  const Status status = client.Checkpoint({}, nullptr, Deadline::After(milliseconds(200))).status();

  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

TEST_F(ClientFailureTest, AnErrorAfterTheLastEventIsTheOperationsError) {
  test::FakeAgentServer server(socket_);
  server.SetCheckpoint({{"op", "dump", "db", 0, 0}}, {});
  server.FailAtEnd("Checkpoint", Status(Code::kFailedPrecondition, "io_uring in container db"));
  Client client(socket_);
  int events = 0;

  const Status status = client
                            .Checkpoint(
                                {}, [&events](const Progress&) { ++events; }, Soon())
                            .status();

  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(status.message(), "io_uring in container db");
  EXPECT_EQ(events, 1);
}

TEST_F(ClientFailureTest, AFailedOperationTellsItsIdAndWhereItsLogsAre) {
  test::FakeAgentServer server(socket_);
  for (const char* method : {"Checkpoint", "Restore", "Wait"}) {
    server.FailAtEnd(method, Status(Code::kInternal, "no"), {"op1", "/var/lib/cryopod/logs/op1"});
  }
  Client client(socket_);
  FailureDetails checkpoint;
  FailureDetails restore;
  FailureDetails wait;

  EXPECT_FALSE(client.Checkpoint({}, nullptr, Soon(), &checkpoint).ok());
  EXPECT_FALSE(client.Restore({}, nullptr, Soon(), &restore).ok());
  EXPECT_FALSE(client.Wait("op1", nullptr, Soon(), &wait).ok());

  for (const FailureDetails& details : {checkpoint, restore, wait}) {
    EXPECT_EQ(details.operation_id, "op1");
    EXPECT_EQ(details.log_folder, "/var/lib/cryopod/logs/op1");
  }
}

TEST_F(ClientFailureTest, WhatBeganNoOperationTellsNone) {
  test::FakeAgentServer server(socket_);
  server.FailNext("Checkpoint", Code::kNotFound, "no such pod");
  Client client(socket_);
  FailureDetails details;

  EXPECT_FALSE(client.Checkpoint({}, nullptr, Soon(), &details).ok());

  EXPECT_EQ(details.operation_id, "");
  EXPECT_EQ(details.log_folder, "");
}

TEST_F(ClientFailureTest, WhatTheAgentSaysOfAnOperationIsTheError) {
  test::FakeAgentServer server(socket_);
  server.FailNext("Cancel op9", Code::kFailedPrecondition, "op9 has ended");
  server.FailNext("Wait op9", Code::kNotFound, "no operation op9");
  server.FailNext("Logs op9", Code::kNotFound, "op9 has no logs");
  Client client(socket_);

  EXPECT_EQ(client.Cancel("op9", Soon()).message(), "op9 has ended");
  EXPECT_EQ(client.Wait("op9", nullptr, Soon()).status().message(), "no operation op9");
  EXPECT_EQ(client.Logs("op9", nullptr, Soon()).message(), "op9 has no logs");
}

TEST_F(ClientFailureTest, LogsEndWithTheErrorOfTheirReceiver) {
  test::FakeAgentServer server(socket_);
  server.AddLog("app.dump.log", "one");
  server.AddLog("db.dump.log", "two");
  Client client(socket_);
  int pieces = 0;

  const Status status = client.Logs(
      "op1",
      [&pieces](std::string_view, std::string_view) {
        ++pieces;
        return Status(Code::kResourceExhausted, "disk full");
      },
      Soon());

  EXPECT_EQ(status.message(), "disk full");
  EXPECT_EQ(pieces, 1);
}

TEST_F(ClientFailureTest, EveryReasonTravelsBesideTheMessage) {
  test::FakeAgentServer server(socket_);
  Client client(socket_);
  for (int number = 1; number < kReasonCount; ++number) {
    const auto reason = static_cast<Reason>(number);
    server.FailNext("List", Code::kAborted, "no", reason);

    EXPECT_EQ(client.List("", Soon()).status().reason(), reason) << ReasonName(reason);
  }
}

TEST_F(ClientFailureTest, AReasonTravelsWithStreamsToo) {
  test::FakeAgentServer server(socket_);
  server.FailAtEnd("Checkpoint", Status(Code::kAborted, "no", Reason::kPodChanged));
  server.FailNext("Import", Code::kResourceExhausted, "no", Reason::kNoSpace);
  server.FailNext("Export", Code::kFailedPrecondition, "no", Reason::kMount);
  Client client(socket_);
  const UniqueFd empty(::open("/dev/null", O_RDONLY | O_CLOEXEC));

  const Status checkpoint = client.Checkpoint({}, nullptr, Soon()).status();
  const Status imported = client.Import("web1", empty.get(), Soon()).status();
  const Status exported = client.Export("web1", "", nullptr, Soon());

  EXPECT_EQ(checkpoint.reason(), Reason::kPodChanged);
  EXPECT_EQ(imported.reason(), Reason::kNoSpace);
  EXPECT_EQ(exported.reason(), Reason::kMount);
}

TEST_F(ClientFailureTest, AReasonOfANewerAgentIsTheOneOfItsCode) {
  test::FakeAgentServer server(socket_);
  Client client(socket_);
  for (const char* const word : {"phase_of_the_moon", "BUSY", ""}) {
    server.FailNextAsNewer("List", Code::kFailedPrecondition, "no", word);

    EXPECT_EQ(client.List("", Soon()).status().reason(), Reason::kRefused) << word;
  }
}

TEST_F(ClientFailureTest, AnErrorThatNamesManyReasonsArrivesWhole) {
  test::FakeAgentServer server(socket_);
  const std::string reasons(60'000, 'r');
  server.FailNext("Checkpoint", Code::kFailedPrecondition, reasons);
  Client client(socket_);

  const Status status = client.Checkpoint({}, nullptr, Soon()).status();

  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(status.message(), reasons);
}

TEST_F(ClientFailureTest, AnOperationWithoutAResultIsNoSuccess) {
  test::FakeAgentServer server(socket_);
  server.WithholdResults();
  Client client(socket_);

  EXPECT_EQ(client.Checkpoint({}, nullptr, Soon()).status().code(), Code::kInternal);
  EXPECT_EQ(client.Restore({}, nullptr, Soon()).status().code(), Code::kInternal);
}

TEST_F(ClientFailureTest, AnExportThatBreaksOffIsNoSuccess) {
  test::FakeAgentServer server(socket_);
  ArchiveSummary summary;
  summary.name = "web1";
  server.AddArchive(summary, std::string(200'000, 'x'));
  server.FailAtEnd("Export", Status(Code::kDataLoss, "blob sha256:4f is damaged"));
  Client client(socket_);

  const Status status = client.Export(
      "web1", "", [](std::string_view) { return Status(); }, Soon());

  EXPECT_EQ(status.code(), Code::kDataLoss);
}

TEST_F(ClientFailureTest, AnExportEndsWithTheErrorOfItsReceiver) {
  test::FakeAgentServer server(socket_);
  ArchiveSummary summary;
  summary.name = "web1";
  server.AddArchive(summary, std::string(2'000'000, 'x'));
  Client client(socket_);
  int chunks = 0;

  const Status status = client.Export(
      "web1", "",
      [&chunks](std::string_view) {
        ++chunks;
        return Status(Code::kResourceExhausted, "disk full");
      },
      Soon());

  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(status.message(), "disk full");
  EXPECT_EQ(chunks, 1);
}

TEST_F(ClientFailureTest, AnImportThatIsRefusedTellsTheAgentsReason) {
  test::FakeAgentServer server(socket_);
  server.FailNext("Import", Code::kAlreadyExists, "archive \"web1\" exists already");
  Client client(socket_);
  const UniqueFd endless(::open("/dev/zero", O_RDONLY | O_CLOEXEC));

  const Status status = client.Import("web1", endless.get(), Soon()).status();

  EXPECT_EQ(status.code(), Code::kAlreadyExists);
  EXPECT_THAT(status.message(), HasSubstr("web1"));
}

TEST_F(ClientFailureTest, AnImportOfAPipeThatStaysSilentEndsAtItsDeadline) {
  const test::FakeAgentServer server(socket_);
  Client client(socket_);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);

  const Status status =
      client.Import("web1", reader.get(), Deadline::After(milliseconds(200))).status();

  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_FALSE(server.has_archive("web1"));
}

TEST_F(ClientFailureTest, AnImportOfWhatCannotBeReadLeavesNoArchive) {
  const test::FakeAgentServer server(socket_);
  Client client(socket_);
  const UniqueFd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

  const Status status = client.Import("web1", directory.get(), Soon()).status();

  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("the file to import"));
  EXPECT_FALSE(server.has_archive("web1"));
}

}  // namespace
}  // namespace cryopod::api
