// A pod that asked for a restore never starts cold in silence: whatever goes wrong between the
// wrapper and the agent, the real runtime's create is not called and the reason is said.
#include <gmock/gmock.h>

#include <filesystem>
#include <thread>

#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/unit/restore/runtime/wrapper_fixture.h"

namespace cryopod::wrapper {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Misfortune {
  const char* name;
  test::FakeRuntimeAgent::Conversation conversation;  // null: nobody listens
  const char* reason;
};

void SendBytes(int fd, const std::string& bytes) { static_cast<void>(WriteAll(fd, bytes).ok()); }

std::vector<Misfortune> Misfortunes() {
  return {
      {"agent_absent", nullptr, "agent.sock"},
      {"agent_refuses",
       [](int fd, const Request&) {
         static_cast<void>(
             Send(fd, Answer::Fail("no archive web-1"), test::FakeRuntimeAgent::Soon()).ok());
       },
       "no archive web-1"},
      {"agent_hangs", [](int, const Request&) { std::this_thread::sleep_for(milliseconds(600)); },
       "agent.sock"},
      {"agent_closes", [](int, const Request&) {}, "agent.sock"},
      {"agent_sends_garbage",
       [](int fd, const Request&) { SendBytes(fd, std::string("\x03\0\0\0\xff\xff\xff", 7)); },
       "agent.sock"},
      {"agent_sends_a_huge_frame",
       [](int fd, const Request&) { SendBytes(fd, std::string("\xff\xff\xff\xff", 4)); },
       "agent.sock"},
      {"agent_stops_in_a_frame",
       [](int fd, const Request&) { SendBytes(fd, std::string("\x10\0\0\0\x08", 5)); },
       "agent.sock"},
      {"answer_without_decision",
       [](int fd, const Request&) { SendBytes(fd, std::string("\0\0\0\0", 4)); }, "agent.sock"},
  };
}

class FailClosedTest : public WrapperFixture, public ::testing::WithParamInterface<Misfortune> {
 protected:
  void SetUp() override {
    WrapperFixture::SetUp();
    Configure("answer_timeout_ms=300\ncreate_timeout_ms=2000\n");
    if (GetParam().conversation) StartAgent(GetParam().conversation);
  }
};

TEST_P(FailClosedTest, NeitherAContainerNorASandboxIsStartedColdHoweverOftenItIsTried) {
  for (const char* container : {"app", "app", ""}) {
    WriteBundle(container);

    EXPECT_EQ(Create(), 1) << container;

    EXPECT_THAT(LoggedError(), HasSubstr(GetParam().reason)) << container;
  }
  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

TEST_P(FailClosedTest, WhatIsConsumedStartsAsAnyContainer) {
  WriteBundle("app");
  Consume();

  EXPECT_EQ(Create(), 0);

  EXPECT_EQ(RuntimeCalls().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(All, FailClosedTest, ::testing::ValuesIn(Misfortunes()),
                         [](const auto& entry) { return std::string(entry.param.name); });

class FailClosedCreateTest : public WrapperFixture {};

TEST_F(FailClosedCreateTest, TheReasonNamesTheRemedy) {
  WriteBundle("app");

  EXPECT_EQ(Create(), 1);

  EXPECT_THAT(LoggedError(), HasSubstr("start cryopod-agent"));
  EXPECT_THAT(LoggedError(), HasSubstr(Path("agent.sock")));
}

TEST_F(FailClosedCreateTest, ADamagedConsumedRecordIsNoConsent) {
  WriteBundle("app");
  std::filesystem::create_directories(Path("state/consumed/u-1"));
  test::WriteText(Path("state/consumed/u-1/.restored"), "rubbish");
  StartAgent(Answer::Pass());

  EXPECT_EQ(Create(), 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

TEST_F(FailClosedCreateTest, AnAnnotationThatCannotBeAnsweredIsAnError) {
  test::WriteText(Path("bundle/config.json"),
                  R"({"annotations": {"cryopod.dev/restore-from": "web-1"}})");

  EXPECT_EQ(Create(), 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
  EXPECT_THAT(LoggedError(), HasSubstr("belongs to no pod"));
}

TEST_F(FailClosedCreateTest, AnOptionThatIsNotUnderstoodIsAnError) {
  WriteBundle("app");
  StartAgent(Answer::Pass());

  EXPECT_EQ(Create({"--new-option", "x"}), 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
  EXPECT_THAT(LoggedError(), HasSubstr("--new-option"));
}

TEST_F(FailClosedCreateTest, ASandboxCannotBeRestored) {
  WriteBundle("");
  StartAgent(Answer::Restore(MakePlan()));

  EXPECT_EQ(Create(), 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

TEST_F(FailClosedCreateTest, AnAgentThatGoesAwayInsideTheRestoreLeavesNoContainer) {
  WriteBundle("app");
  const Plan plan = MakePlan();
  StartAgent([plan](int fd, const Request&) {
    static_cast<void>(Send(fd, Answer::Restore(plan), test::FakeRuntimeAgent::Soon()).ok());
  });

  EXPECT_EQ(Create(), 1);

  ASSERT_EQ(RuntimeCalls().size(), 2u);
  EXPECT_THAT(RuntimeCalls().back(), HasSubstr("delete --force c1"));
}

TEST_F(FailClosedCreateTest, AMissingLauncherFailsTheRestore) {
  WriteBundle("app");
  std::filesystem::remove(Path("libexec/cryopod/launcher/criu"));
  StartRestoringAgent(Answer::Fail(""));

  EXPECT_EQ(Create(), 1);

  EXPECT_THAT(LoggedError(), HasSubstr("no launcher at " + Path("libexec")));
}

}  // namespace
}  // namespace cryopod::wrapper
