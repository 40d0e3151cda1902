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
using ::testing::Not;

class CreateTest : public WrapperFixture {
 protected:
  // A restore that goes well.
  void Restore(const std::string& more_config = "", const std::vector<std::string>& more = {}) {
    WriteBundle("app", more_config);
    StartRestoringAgent(Answer::Pass());
    ASSERT_EQ(Create(more), 0);
  }
  // One that `verdict` ends.
  void FailToRestore(const std::string& verdict) {
    WriteBundle("app");
    StartRestoringAgent(Answer::Fail(verdict));
    EXPECT_EQ(Create(), 1);
    EXPECT_EQ(LoggedError(), "cryopod: " + verdict);
  }
};

TEST_F(CreateTest, ASandboxIsCreatedByTheRealRuntimeOnceTheAgentAgrees) {
  WriteBundle("");
  StartAgent(Answer::Pass());

  EXPECT_EQ(Create(), 0);

  ASSERT_EQ(agent_->requests().size(), 1u);
  const Request request = agent_->requests().front();
  EXPECT_EQ(request.kind, Request::Kind::kSandbox);
  EXPECT_EQ(request.pod_uid, "u-1");
  EXPECT_EQ(request.container_id, "c1");
  EXPECT_EQ(request.state_dir, state_dir());
  EXPECT_EQ(request.bundle, Path("bundle"));
  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" create "));
}

TEST_F(CreateTest, ARestoreReplacesTheCreateOfTheRealRuntime) {
  Restore("", {"--no-pivot", "--console-socket", "/tmp/console.sock"});

  EXPECT_THAT(
      RuntimeCalls(),
      ElementsAre("--root " + Path("root") + " --log " + Path("log.json") +
                  " --log-format json restore --detach --image-path " + Path("images") +
                  " --work-path " + Path("work") + " --bundle " + Path("bundle") + " --pid-file " +
                  Path("init.pid") +
                  " --manage-cgroups-mode ignore --file-locks --console-socket /tmp/console.sock "
                  "--no-pivot c1"));
  EXPECT_THAT(outcome_, test::IsOkAnd(Outcome{true, 4711, ""}));
}

TEST_F(CreateTest, OneThatHadFinishedIsCreatedWithAProgramThatEndsWell) {
  WriteBundle("setup", R"(, "process": {"args": ["/bin/sh", "-c", "rm -rf /data"]})");
  StartAgent(Answer::Finished());

  EXPECT_EQ(Create(), 0);

  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" create "));
  const std::string config = test::ReadText(Path("bundle/config.json"));
  EXPECT_THAT(config, HasSubstr(R"("args":["/dev/cryopod-finished"])"));
  EXPECT_THAT(config, HasSubstr(Path("libexec/cryopod/cryopod-finished")));
  EXPECT_THAT(config, Not(HasSubstr("rm -rf")));
  EXPECT_THAT(ReadRestoredMark(state_dir()), test::StatusIs(Code::kNotFound));
}

TEST_F(CreateTest, WithoutTheProgramForItOrAsASandboxItIsNotCreated) {
  StartAgent(Answer::Finished());
  std::filesystem::remove(Path("libexec/cryopod/cryopod-finished"));
  for (const auto& [container, reason] :
       {std::pair("setup", "cryopod-finished"), std::pair("", "FINISHED for a sandbox")}) {
    WriteBundle(container, R"(, "process": {"args": ["/bin/sh"]})");

    EXPECT_NE(Create(), 0);

    EXPECT_THAT(LoggedError(), HasSubstr(reason));
  }
  EXPECT_THAT(RuntimeCalls(), ElementsAre());
}

TEST_F(CreateTest, ARestoredContainerIsMarkedForItsStart) {
  Restore();

  const Result<Request> mark = ReadRestoredMark(state_dir());
  ASSERT_THAT(mark, test::IsOk());
  EXPECT_EQ(mark->container_id, "c1");
  EXPECT_EQ(mark->pod_uid, "u-1");
  EXPECT_EQ(mark->container_name, "app");
  EXPECT_EQ(mark->restore_from, "web-1");
}

TEST_F(CreateTest, TheRealRuntimeFindsTheLauncherAndTheLauncherItsOrders) {
  Restore(R"(, "linux": {"namespaces": [{"type": "cgroup"}]})");

  EXPECT_EQ(test::ReadText(Path("restore.criu")), Path("libexec/cryopod/launcher/criu") + "\n");
  const std::string environment = test::ReadText(Path("restore.env"));
  EXPECT_THAT(environment, HasSubstr("CRYOPOD_CRIU=" + Path("criu") + "\n"));
  EXPECT_THAT(environment, HasSubstr("CRYOPOD_CRIU_CONFIG=" + Path("work/criu.conf") + "\n"));
  EXPECT_THAT(environment, HasSubstr("CRYOPOD_CGROUP_NAMESPACE=1\n"));
  EXPECT_THAT(environment, HasSubstr("PATH=" + Path("libexec/cryopod/launcher") + ":/usr/sbin"));
}

TEST_F(CreateTest, TheContainersDescriptorsAreNotTouched) {
  Restore();

  // Standard input is the file that the wrapper was given; nothing else was inherited but output
  // and what ls itself opens.
  const std::string descriptors = test::ReadText(Path("restore.fds"));
  EXPECT_THAT(descriptors, HasSubstr(" 0 -> " + Path("input")));
  EXPECT_THAT(descriptors, Not(HasSubstr("socket:")));
}

TEST_F(CreateTest, AClosedStandardInputDoesNotBecomeOurSocket) {
  WriteBundle("app");
  StartRestoringAgent(Answer::Pass());
  std::string line = "exec <&- " + Path("bin/cryopod-runtime");
  for (const std::string& argument : Arguments({"create", "--bundle", Path("bundle"), "c1"})) {
    line += " " + argument;
  }
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", line};
  options.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                         "CRYOPOD_RUNTIME_CONFIG=" + Path("runtime.conf")};

  const Result<CommandOutput> output =
      RunCommand(options, Deadline::After(std::chrono::seconds(20)));

  ASSERT_THAT(output, test::IsOk());
  EXPECT_EQ(output->status.exit_code, 0) << output->text;
  EXPECT_THAT(test::ReadText(Path("restore.fds")), HasSubstr(" 0 -> /dev/null"));
}

TEST_F(CreateTest, ARestoreThatFailsIsReportedWithTheAgentsReasonAndLeavesNoContainer) {
  SetRestore(1, "");
  test::WriteText(Path("log.json"), "{\"level\":\"error\",\"msg\":\"criu failed: errno 0\"}\n");

  FailToRestore("restoring container app: Can't open file");

  EXPECT_THAT(outcome_, test::IsOkAnd(Outcome{false, 0, "criu failed: errno 0"}));
  ASSERT_EQ(RuntimeCalls().size(), 2u);
  EXPECT_THAT(RuntimeCalls().back(), HasSubstr(" delete --force c1"));
  EXPECT_THAT(ReadRestoredMark(state_dir()), test::StatusIs(Code::kNotFound));
}

TEST_F(CreateTest, ARestoreThatTheAgentDoesNotBelieveIsTakenBack) {
  FailToRestore("a task is missing");

  ASSERT_EQ(RuntimeCalls().size(), 2u);
  EXPECT_THAT(RuntimeCalls().back(), HasSubstr(" delete --force c1"));
}

TEST_F(CreateTest, ARestoreWithoutAPidIsNone) {
  SetRestore(0, "");

  FailToRestore("no process");

  ASSERT_THAT(outcome_, test::IsOk());
  EXPECT_FALSE(outcome_->restored);
}

TEST_F(CreateTest, AHangingRestoreIsEndedBeforeTheKubeletEndsUs) {
  Configure("create_timeout_ms=300\n");
  test::WriteText(Path("restore.sleep"), "60");

  FailToRestore("too slow");

  ASSERT_THAT(outcome_, test::IsOk());
  EXPECT_FALSE(outcome_->restored);
}

// With the annotation beside that which asks for the restore.
class ColdStartTest : public CreateTest {
 protected:
  void SetUp() override {
    CreateTest::SetUp();
    WriteBundle("app");
    std::string config = test::ReadText(Path("bundle/config.json"));
    config.insert(config.find("\"cryopod.dev/"),
                  R"("cryopod.dev/on-restore-failure": "cold-start", )");
    test::WriteText(Path("bundle/config.json"), config);
  }
  // An agent that refuses the restore with `refusal`, and answers the question for a cold start.
  void Refuse(const Answer& refusal, const Answer& to_cold_start) {
    StartAgent([=](int fd, const Request& request) {
      const bool cold = request.kind == Request::Kind::kColdStart;
      EXPECT_THAT(Send(fd, cold ? to_cold_start : refusal, test::FakeRuntimeAgent::Soon()),
                  test::IsOk());
    });
  }
  const Answer kRefusal = Answer::Refuse(
      Status(Code::kFailedPrecondition, "AlreadyRestored: by u-0", Reason::kAlreadyRestored));
};

TEST_F(ColdStartTest, ARefusalThatStaysIsToldToTheAgentAndTheContainerStartsAsAny) {
  Refuse(kRefusal, Answer::Pass());

  EXPECT_EQ(Create(), 0);

  ASSERT_EQ(agent_->requests().size(), 2u);
  const Request asked = agent_->requests().back();
  EXPECT_EQ(asked.kind, Request::Kind::kColdStart);
  EXPECT_EQ(asked.container_name, "app");
  EXPECT_EQ(asked.failure, "AlreadyRestored: by u-0");
  EXPECT_EQ(asked.failure_reason, "already_restored");
  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" create "));
}

TEST_F(ColdStartTest, WhatMayComeRightByItselfOrTouchedTheContainerFails) {
  Refuse(Answer::Fail("no space"), Answer::Pass());

  EXPECT_EQ(Create(), 1);

  EXPECT_EQ(LoggedError(), "cryopod: no space");
  EXPECT_EQ(agent_->requests().size(), 1u) << "no cold start was asked for";
  EXPECT_THAT(RuntimeCalls(), ElementsAre());
}

TEST_F(ColdStartTest, WithoutTheAgentsConsentItFailsWithBothReasons) {
  Refuse(kRefusal, Answer::Fail("half of it was restored"));

  EXPECT_EQ(Create(), 1);

  EXPECT_THAT(LoggedError(), HasSubstr("AlreadyRestored: by u-0"));
  EXPECT_THAT(LoggedError(), HasSubstr("half of it was restored"));
  EXPECT_THAT(RuntimeCalls(), ElementsAre());
}

TEST_F(ColdStartTest, APodWithoutTheAnnotationNeverDoes) {
  WriteBundle("app");
  Refuse(kRefusal, Answer::Pass());

  EXPECT_EQ(Create(), 1);

  EXPECT_EQ(agent_->requests().size(), 1u);
  EXPECT_THAT(RuntimeCalls(), ElementsAre());
}

TEST_F(CreateTest, WhatIsConsumedAndItsSandboxAreCreatedByTheRealRuntimeWithoutTheAgent) {
  Consume();
  for (const char* container : {"app", ""}) {
    WriteBundle(container);
    EXPECT_EQ(Create(), 0) << container;
  }

  ASSERT_EQ(RuntimeCalls().size(), 2u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" create "));
}

}  // namespace
}  // namespace cryopod::wrapper
