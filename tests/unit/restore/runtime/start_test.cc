#include <gmock/gmock.h>

#include <filesystem>

#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/container_marks.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/runtime/wrapper_fixture.h"

namespace cryopod::wrapper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StartTest : public WrapperFixture {
 protected:
  void SetUp() override {
    WrapperFixture::SetUp();
    Configure("answer_timeout_ms=300\n");
    std::filesystem::create_directories(state_dir());
  }

  void Mark() {
    Request request;
    request.container_id = "c1";
    request.pod_uid = "u-1";
    request.container_name = "app";
    request.restore_from = "web-1";
    ASSERT_THAT(WriteRestoredMark(state_dir(), request), test::IsOk());
  }
  void Consume() {
    ASSERT_THAT(WriteConsumed(Path("state"), "u-1", "app", {"web-1", "", "op-1", ""}),
                test::IsOk());
  }
  bool IsMarked() const { return ReadRestoredMark(state_dir()).ok(); }
};

TEST_F(StartTest, ARestoredContainerIsStartedByTheAgentAlone) {
  Mark();
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Pass()));

  EXPECT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 0);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
  ASSERT_EQ(agent_->requests().size(), 1u);
  EXPECT_EQ(agent_->requests().front().kind, Request::Kind::kStart);
  EXPECT_EQ(agent_->requests().front().container_id, "c1");
  EXPECT_EQ(agent_->requests().front().pod_uid, "u-1");
  EXPECT_EQ(agent_->requests().front().state_dir, state_dir());
}

TEST_F(StartTest, AfterItsStartTheContainerIsLikeAnyOther) {
  Mark();
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Pass()));
  ASSERT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 0);

  EXPECT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 0);
  EXPECT_EQ(Run(Arguments({"delete", "c1"})).status.exit_code, 0);

  EXPECT_EQ(RuntimeCalls().size(), 2u);
  EXPECT_EQ(agent_->requests().size(), 1u);
}

TEST_F(StartTest, ARefusalIsTheStartsError) {
  Mark();
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Fail("the restored process has ended")));

  EXPECT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 1);

  EXPECT_EQ(LoggedError(), "cryopod: the restored process has ended");
  EXPECT_TRUE(IsMarked());
}

TEST_F(StartTest, WithoutTheAgentNothingIsStarted) {
  Mark();

  EXPECT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
  EXPECT_THAT(LoggedError(), HasSubstr("start cryopod-agent"));
  EXPECT_TRUE(IsMarked());
}

TEST_F(StartTest, AnAgentThatGoesAwayAfterTheRecordHasStartedTheContainer) {
  Mark();
  test::WriteText(Path("cgroup.procs"), "");
  ASSERT_THAT(WriteHeldMark(state_dir(), temp_.path().string()), test::IsOk());
  StartAgent([this](int, const Request&) { Consume(); });

  EXPECT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 0);

  EXPECT_FALSE(IsHeld(state_dir()));
  EXPECT_FALSE(IsMarked());
  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

TEST_F(StartTest, AnAgentThatGoesAwayBeforeTheRecordHasNot) {
  Mark();
  test::WriteText(Path("cgroup.procs"), "");
  ASSERT_THAT(WriteHeldMark(state_dir(), temp_.path().string()), test::IsOk());
  StartAgent([](int, const Request&) {});

  EXPECT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 1);

  EXPECT_TRUE(IsHeld(state_dir()));
}

TEST_F(StartTest, ADamagedMarkIsAnError) {
  test::WriteText(state_dir() + "/cryopod.restored", "rubbish");

  EXPECT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

TEST_F(StartTest, DeletingAContainerThatNeverStartedTellsTheAgent) {
  Mark();
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Pass()));

  EXPECT_EQ(Run(Arguments({"delete", "--force", "c1"})).status.exit_code, 0);

  ASSERT_EQ(agent_->requests().size(), 1u);
  EXPECT_EQ(agent_->requests().front().kind, Request::Kind::kDeleted);
  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" delete --force c1"));
}

TEST_F(StartTest, DeletingItWorksWithoutTheAgent) {
  Mark();

  EXPECT_EQ(Run(Arguments({"delete", "--force", "c1"})).status.exit_code, 0);

  EXPECT_EQ(RuntimeCalls().size(), 1u);
}

TEST_F(StartTest, AKillOfARestoredContainerPassesThrough) {
  Mark();

  EXPECT_EQ(Run(Arguments({"kill", "c1", "9"})).status.exit_code, 0);

  EXPECT_TRUE(IsMarked());
  EXPECT_EQ(RuntimeCalls().size(), 1u);
}

}  // namespace
}  // namespace cryopod::wrapper
