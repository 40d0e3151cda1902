#include <gmock/gmock.h>

#include <filesystem>

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
  bool IsMarked() const { return ReadRestoredMark(state_dir()).ok(); }
};

TEST_F(StartTest, ARestoredContainerIsStartedByTheAgentAlone) {
  Mark();
  StartAgent(Answer::Pass());

  EXPECT_EQ(Call({"start", "c1"}), 0);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
  ASSERT_EQ(agent_->requests().size(), 1u);
  EXPECT_EQ(agent_->requests().front().kind, Request::Kind::kStart);
  EXPECT_EQ(agent_->requests().front().container_id, "c1");
  EXPECT_EQ(agent_->requests().front().pod_uid, "u-1");
  EXPECT_EQ(agent_->requests().front().state_dir, state_dir());
}

TEST_F(StartTest, AfterItsStartTheContainerIsLikeAnyOther) {
  Mark();
  StartAgent(Answer::Pass());
  ASSERT_EQ(Call({"start", "c1"}), 0);

  EXPECT_EQ(Call({"start", "c1"}), 0);
  EXPECT_EQ(Call({"delete", "c1"}), 0);

  EXPECT_EQ(RuntimeCalls().size(), 2u);
  EXPECT_EQ(agent_->requests().size(), 1u);
}

TEST_F(StartTest, ARefusalIsTheStartsError) {
  Mark();
  StartAgent(Answer::Fail("the restored process has ended"));

  EXPECT_EQ(Call({"start", "c1"}), 1);

  EXPECT_EQ(LoggedError(), "cryopod: the restored process has ended");
  EXPECT_TRUE(IsMarked());
}

TEST_F(StartTest, WithoutTheAgentNothingIsStarted) {
  Mark();

  EXPECT_EQ(Call({"start", "c1"}), 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
  EXPECT_THAT(LoggedError(), HasSubstr("start cryopod-agent"));
  EXPECT_TRUE(IsMarked());
}

TEST_F(StartTest, AnAgentThatGoesAwayAfterTheRecordHasStartedTheContainer) {
  Mark();
  Hold();
  StartAgent([this](int, const Request&) { Consume(); });

  EXPECT_EQ(Call({"start", "c1"}), 0);

  EXPECT_FALSE(IsHeld());
  EXPECT_FALSE(IsMarked());
  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

TEST_F(StartTest, AnAgentThatGoesAwayBeforeTheRecordHasNot) {
  Mark();
  Hold();
  StartAgent([](int, const Request&) {});

  EXPECT_EQ(Call({"start", "c1"}), 1);

  EXPECT_TRUE(IsHeld());
}

TEST_F(StartTest, ADamagedMarkIsAnError) {
  test::WriteText(state_dir() + "/cryopod.restored", "rubbish");

  EXPECT_EQ(Call({"start", "c1"}), 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

TEST_F(StartTest, DeletingAContainerThatNeverStartedTellsTheAgent) {
  Mark();
  StartAgent(Answer::Pass());

  EXPECT_EQ(Call({"delete", "--force", "c1"}), 0);

  ASSERT_EQ(agent_->requests().size(), 1u);
  EXPECT_EQ(agent_->requests().front().kind, Request::Kind::kDeleted);
  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" delete --force c1"));
}

TEST_F(StartTest, DeletingItAndKillingItWorkWithoutTheAgent) {
  Mark();

  EXPECT_EQ(Call({"kill", "c1", "9"}), 0);
  EXPECT_TRUE(IsMarked());
  EXPECT_EQ(Call({"delete", "--force", "c1"}), 0);

  EXPECT_EQ(RuntimeCalls().size(), 2u);
}

}  // namespace
}  // namespace cryopod::wrapper
