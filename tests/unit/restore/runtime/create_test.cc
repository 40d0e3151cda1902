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
using ::testing::Not;

class CreateTest : public WrapperFixture {
 protected:
  CommandOutput Create(const std::vector<std::string>& more = {}) {
    std::vector<std::string> rest = {"create", "--bundle", Path("bundle"), "--pid-file",
                                     Path("init.pid")};
    rest.insert(rest.end(), more.begin(), more.end());
    rest.push_back("c1");
    return Run(Arguments(rest));
  }

  // An agent that has the container restored and then says `verdict`.
  void StartRestoringAgent(const Answer& verdict) {
    const Plan plan = MakePlan();
    StartAgent([this, plan, verdict](int fd, const Request& request) {
      const Deadline soon = test::FakeRuntimeAgent::Soon();
      ASSERT_EQ(request.kind, Request::Kind::kCreate);
      ASSERT_THAT(Send(fd, Answer::Restore(plan), soon), test::IsOk());
      outcome_ = ReceiveOutcome(fd, soon);
      ASSERT_THAT(Send(fd, verdict, soon), test::IsOk());
    });
  }

  Result<Outcome> outcome_ = Status(Code::kUnknown, "none");
};

TEST_F(CreateTest, ASandboxIsCreatedByTheRealRuntimeOnceTheAgentAgrees) {
  WriteBundle("");
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Pass()));

  EXPECT_EQ(Create().status.exit_code, 0);

  ASSERT_EQ(agent_->requests().size(), 1u);
  EXPECT_EQ(agent_->requests().front().kind, Request::Kind::kSandbox);
  EXPECT_EQ(agent_->requests().front().pod_uid, "u-1");
  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" create "));
}

TEST_F(CreateTest, TheAgentLearnsWhatTheRestoreNeeds) {
  WriteBundle("app", R"(, "linux": {"cgroupsPath": "/k8s.io/c1", "namespaces": [
      {"type": "uts", "path": "/proc/1/ns/uts"}, {"type": "cgroup"}]})");
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Pass()));

  EXPECT_EQ(Create().status.exit_code, 0);

  ASSERT_EQ(agent_->requests().size(), 1u);
  const Request request = agent_->requests().front();
  EXPECT_EQ(request.kind, Request::Kind::kCreate);
  EXPECT_EQ(request.container_id, "c1");
  EXPECT_EQ(request.state_dir, state_dir());
  EXPECT_EQ(request.bundle, Path("bundle"));
  EXPECT_EQ(request.rootfs, Path("bundle/rootfs"));
  EXPECT_EQ(request.cgroups_path, "/k8s.io/c1");
  EXPECT_TRUE(request.cgroup_namespace);
}

TEST_F(CreateTest, ARestoreReplacesTheCreateOfTheRealRuntime) {
  WriteBundle("app");
  StartRestoringAgent(Answer::Pass());

  EXPECT_EQ(Create({"--no-pivot", "--console-socket", "/tmp/console.sock"}).status.exit_code, 0);

  EXPECT_THAT(
      RuntimeCalls(),
      ElementsAre("--root " + Path("root") + " --log " + Path("log.json") +
                  " --log-format json restore --detach --image-path " + Path("images") +
                  " --work-path " + Path("work") + " --bundle " + Path("bundle") + " --pid-file " +
                  Path("init.pid") +
                  " --manage-cgroups-mode ignore --file-locks --console-socket /tmp/console.sock "
                  "--no-pivot c1"));
  EXPECT_THAT(outcome_, test::IsOkAnd(Outcome{true, 0, 4711, ""}));
}

TEST_F(CreateTest, OneThatHadFinishedIsCreatedWithAProgramThatEndsWell) {
  WriteBundle("setup", R"(, "process": {"args": ["/bin/sh", "-c", "rm -rf /data"]})");
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Finished()));

  EXPECT_EQ(Create().status.exit_code, 0);

  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" create "));
  const std::string config = test::ReadText(Path("bundle/config.json"));
  EXPECT_THAT(config, HasSubstr(R"("args":["/dev/cryopod-finished"])"));
  EXPECT_THAT(config, HasSubstr(Path("libexec/cryopod/cryopod-finished")));
  EXPECT_THAT(config, Not(HasSubstr("rm -rf")));
  EXPECT_THAT(ReadRestoredMark(state_dir()), test::StatusIs(Code::kNotFound));
}

TEST_F(CreateTest, WithoutTheProgramForItItIsNotCreated) {
  WriteBundle("setup", R"(, "process": {"args": ["/bin/sh"]})");
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Finished()));
  std::filesystem::remove(Path("libexec/cryopod/cryopod-finished"));

  EXPECT_NE(Create().status.exit_code, 0);

  EXPECT_THAT(RuntimeCalls(), ElementsAre());
  EXPECT_THAT(LoggedError(), HasSubstr("cryopod-finished"));
}

TEST_F(CreateTest, ASandboxThatHadFinishedIsNonsense) {
  WriteBundle("");
  StartAgent(test::FakeRuntimeAgent::Always(Answer::Finished()));

  EXPECT_NE(Create().status.exit_code, 0);

  EXPECT_THAT(RuntimeCalls(), ElementsAre());
}

TEST_F(CreateTest, ARestoredContainerIsMarkedForItsStart) {
  WriteBundle("app");
  StartRestoringAgent(Answer::Pass());

  ASSERT_EQ(Create().status.exit_code, 0);

  const Result<Request> mark = ReadRestoredMark(state_dir());
  ASSERT_THAT(mark, test::IsOk());
  EXPECT_EQ(mark->container_id, "c1");
  EXPECT_EQ(mark->pod_uid, "u-1");
  EXPECT_EQ(mark->container_name, "app");
  EXPECT_EQ(mark->restore_from, "web-1");
}

TEST_F(CreateTest, TheRealRuntimeFindsTheLauncherAndTheLauncherItsOrders) {
  WriteBundle("app", R"(, "linux": {"namespaces": [{"type": "cgroup"}]})");
  StartRestoringAgent(Answer::Pass());

  ASSERT_EQ(Create().status.exit_code, 0);

  EXPECT_EQ(test::ReadText(Path("restore.criu")), Path("libexec/cryopod/launcher/criu") + "\n");
  const std::string environment = test::ReadText(Path("restore.env"));
  EXPECT_THAT(environment, HasSubstr("CRYOPOD_CRIU=" + Path("criu") + "\n"));
  EXPECT_THAT(environment, HasSubstr("CRYOPOD_CRIU_CONFIG=" + Path("work/criu.conf") + "\n"));
  EXPECT_THAT(environment, HasSubstr("CRYOPOD_CGROUP_NAMESPACE=1\n"));
  EXPECT_THAT(environment, HasSubstr("PATH=" + Path("libexec/cryopod/launcher") + ":/usr/sbin"));
}

TEST_F(CreateTest, TheContainersDescriptorsAreNotTouched) {
  WriteBundle("app");
  StartRestoringAgent(Answer::Pass());

  ASSERT_EQ(Create().status.exit_code, 0);

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

TEST_F(CreateTest, ARestoreThatFailsIsReportedWithTheAgentsReason) {
  WriteBundle("app");
  SetRestore(1, "");
  test::WriteText(Path("log.json"), "{\"level\":\"error\",\"msg\":\"criu failed: errno 0\"}\n");
  StartRestoringAgent(Answer::Fail("restoring container app: Can't open file"));

  EXPECT_EQ(Create().status.exit_code, 1);

  EXPECT_EQ(LoggedError(), "cryopod: restoring container app: Can't open file");
  ASSERT_THAT(outcome_, test::IsOk());
  EXPECT_FALSE(outcome_->restored);
  EXPECT_EQ(outcome_->exit_code, 1);
  EXPECT_EQ(outcome_->log, "criu failed: errno 0");
}

TEST_F(CreateTest, AFailedRestoreLeavesNoContainer) {
  WriteBundle("app");
  SetRestore(1, "");
  StartRestoringAgent(Answer::Fail("no"));

  EXPECT_EQ(Create().status.exit_code, 1);

  ASSERT_EQ(RuntimeCalls().size(), 2u);
  EXPECT_THAT(RuntimeCalls().back(), HasSubstr(" delete --force c1"));
  EXPECT_THAT(ReadRestoredMark(state_dir()), test::StatusIs(Code::kNotFound));
}

TEST_F(CreateTest, ARestoreThatTheAgentDoesNotBelieveIsTakenBack) {
  WriteBundle("app");
  StartRestoringAgent(Answer::Fail("a task is missing"));

  EXPECT_EQ(Create().status.exit_code, 1);

  EXPECT_EQ(LoggedError(), "cryopod: a task is missing");
  ASSERT_EQ(RuntimeCalls().size(), 2u);
  EXPECT_THAT(RuntimeCalls().back(), HasSubstr(" delete --force c1"));
}

TEST_F(CreateTest, ARestoreWithoutAPidIsNone) {
  WriteBundle("app");
  SetRestore(0, "");
  StartRestoringAgent(Answer::Fail("no process"));

  EXPECT_EQ(Create().status.exit_code, 1);

  ASSERT_THAT(outcome_, test::IsOk());
  EXPECT_FALSE(outcome_->restored);
}

TEST_F(CreateTest, AHangingRestoreIsEndedBeforeTheKubeletEndsUs) {
  WriteBundle("app");
  Configure("create_timeout_ms=300\n");
  test::WriteText(Path("restore.sleep"), "60");
  StartRestoringAgent(Answer::Fail("too slow"));

  EXPECT_EQ(Create().status.exit_code, 1);

  ASSERT_THAT(outcome_, test::IsOk());
  EXPECT_FALSE(outcome_->restored);
  EXPECT_EQ(outcome_->exit_code, -1);
  EXPECT_EQ(LoggedError(), "cryopod: too slow");
}

TEST_F(CreateTest, WhatIsConsumedIsCreatedByTheRealRuntimeWithoutTheAgent) {
  WriteBundle("app");
  ASSERT_THAT(WriteConsumed(Path("state"), "u-1", "app", {"web-1", "", "op-1", ""}), test::IsOk());

  EXPECT_EQ(Create().status.exit_code, 0);

  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr(" create "));
}

TEST_F(CreateTest, ASandboxOfAPodThatWasRestoredNeedsNoAgent) {
  WriteBundle("");
  ASSERT_THAT(WriteConsumed(Path("state"), "u-1", "app", {"web-1", "", "op-1", ""}), test::IsOk());

  EXPECT_EQ(Create().status.exit_code, 0);

  EXPECT_EQ(RuntimeCalls().size(), 1u);
}

}  // namespace
}  // namespace cryopod::wrapper
