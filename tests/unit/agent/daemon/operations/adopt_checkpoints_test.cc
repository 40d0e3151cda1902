#include "agent/os/mount.h"
#include "tests/unit/agent/daemon/operations/checkpoint_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class AdoptCheckpointsTest : public test::CheckpointFixture {};

TEST_F(AdoptCheckpointsTest, AStopThatWasDecidedWhenAllWereKilledIsFinishedAtTheNextStart) {
  SetCheckpointProgram(Say("stop") + "cp " + WriteResult(StoppedResult()) +
                       " $job/stopping.json\n" + WaitForGo());
  EndAgentAndKill(*StartAndWait());

  RestartAgent();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(AdoptCheckpointsTest, AnAgentThatEndsWhileItWaitsForACriuLeavesTheRepairToTheNextOne) {
  const std::string journal = temp_.path() / "journal";
  SetCheckpointProgram("sleep 600 & criu=$!\n" + WriteJournalOf("$criu") + Say("dump") +
                       "kill -9 $$");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  ASSERT_TRUE(Eventually([&] { return operation->progress().stage == "release"; }));
  const pid_t criu = json::parse(ReadText(journal))["criu"][0]["pid"];

  BeginAgent();

  EXPECT_THAT(Jobs(), ElementsAre(operation->id()));
  EXPECT_EQ(::kill(criu, 0), 0) << "nobody kills a CRIU that dumps";
  checkpoints_->AdoptOrRepair(operation->id());
  ::kill(criu, SIGKILL);
  EXPECT_TRUE(IsSettled());
}

TEST_F(AdoptCheckpointsTest, AnAgentThatEndsWhileARuntimeRefusesLeavesTheSourceToTheNextOne) {
  SetCheckpointProgram(SayResult(StoppedResult()));
  server_.FailNext("StopPodSandbox", Code::kUnknown, "ttrpc: closed");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  ASSERT_TRUE(Eventually([&] {
    const std::vector<std::string> calls = server_.calls();
    return std::find(calls.begin(), calls.end(), "StopPodSandbox " + sandbox_) != calls.end();
  }));

  RestartAgent();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(AdoptCheckpointsTest, AnAgentThatEndsLeavesTheProcessAndTheNextOneAdoptsIt) {
  SetCheckpointProgram(Say("freeze") + WaitForGo() + Say("commit") + SayResult(GoodResult()));
  const std::string id = StartAndWait()->id();
  const pid_t pid = JobPid(id);

  checkpoints_.reset();
  ASSERT_EQ(::kill(pid, 0), 0) << "it runs on without its agent";
  RestartAgent();

  const std::shared_ptr<Operation> adopted = Adopted();
  EXPECT_EQ(adopted->id(), id);
  EXPECT_EQ(adopted->pod(), "shop/web");
  EXPECT_TRUE(Eventually([&] { return adopted->frozen(); }));
  EXPECT_THAT(node_metrics_->Serialize(),
              HasSubstr("cryopod_operations_running{operation_type=\"checkpoint_pod\"} 1"));
  EXPECT_THAT(Start(), StatusIs(Code::kAborted, HasSubstr(id)));
  Go();
  EXPECT_THAT(ResultOf(*adopted).status, IsOk());
  EXPECT_THAT(StagesOf(*adopted), ElementsAre("freeze", "commit")) << "told from the beginning";
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(AdoptCheckpointsTest, AResultThatCameWhileNoAgentRanIsCollected) {
  SetCheckpointProgram(WaitForGo() + SayResult(StoppedResult()));
  const std::string id = StartAndWait()->id();
  const UniqueFd pidfd = OpenPidfd(JobPid(id)).value();
  checkpoints_.reset();
  Go();
  ASSERT_TRUE(PidfdEnded(pidfd.get(), Soon()));

  RestartAgent();

  EXPECT_TRUE(IsSettled());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty()) << "the stopped source is removed now";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> ended, register_->Find(id));
  EXPECT_EQ(ended->outcome().checkpoint.digest, GoodResult().digest);
}

TEST_F(AdoptCheckpointsTest, AnAgentThatDiedRightBeforeTheRemovalLeavesTheJobToTheNextOne) {
  SetCheckpointProgram(WaitForGo());
  const std::shared_ptr<Operation> operation = StartAndWait();
  EndAgentAndKill(*operation);
  register_->Finish(operation, {Status(), GoodResult(), {}});

  RestartAgent();

  EXPECT_THAT(register_->ListRunning(), IsEmpty());
  EXPECT_THAT(Jobs(), IsEmpty());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> ended,
                               register_->Find(operation->id()));
  EXPECT_EQ(ended->outcome().checkpoint.digest, GoodResult().digest);
}

TEST_F(AdoptCheckpointsTest, WhatADeadProcessLeftIsRepairedAtTheStart) {
  SetCheckpointProgram(WaitForGo());
  const std::shared_ptr<Operation> operation = StartAndWait();
  ASSERT_THAT(MountTmpfs(JobDir(operation->id()) + "/staging", 1 << 20), IsOk());
  EndAgentAndKill(*operation);

  RestartAgent();

  EXPECT_TRUE(IsSettled());
  SetCheckpointProgram(SayResult(GoodResult()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> next, Start());
  EXPECT_THAT(ResultOf(*next).status, IsOk()) << "the pod is free again";
}

TEST_F(AdoptCheckpointsTest, AJobOfANeighbouringVersionIsAdoptedAndGoesOn) {
  config_.checkpoint_timeout_s = 77;
  SetCheckpointProgram(WaitForGo() + SayResult(GoodResult()));
  const std::string id = StartAndWait()->id();
  checkpoints_.reset();
  for (const char* name : {jobs::kRequestFile, jobs::kProcessFile}) {
    Rewrite(id, name, [](json& document) {
      document["format"] = 2;
      document["added_by_a_newer_one"] = {{"x", 1}};
      for (const char* has_default : {"timeout_s", "finished", "pod_uid"}) {
        document.erase(has_default);
      }
    });
  }

  RestartAgent();

  EXPECT_THAT(register_->ListForeign(), IsEmpty());
  const std::shared_ptr<Operation> adopted = Adopted();
  EXPECT_EQ(adopted->facts().timeout, seconds(300));
  Go();
  EXPECT_EQ(ResultOf(*adopted).digest, GoodResult().digest);
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(AdoptCheckpointsTest, AJobThatIsNotUnderstoodIsLeftAloneByEveryAgent) {
  SetCheckpointProgram(WaitForGo());
  const std::string id = StartAndWait()->id();
  const pid_t pid = JobPid(id);
  ASSERT_THAT(jobs::WriteFileOf(JobDir(id), jobs::kJournalFile, jobs::Journal()), IsOk());
  const auto without_format = [](json& document) { document.erase("format"); };
  const auto for_newer_readers = [](json& document) {
    document["readable_from"] = jobs::kFormat + 1;
  };
  for (const char* name : {jobs::kRequestFile, jobs::kProcessFile, jobs::kJournalFile}) {
    const std::string before = ReadText(JobDir(id) + "/" + name);
    for (const std::function<void(json&)>& change :
         std::vector<std::function<void(json&)>>{without_format, for_newer_readers}) {
      Rewrite(id, name, change);
      const std::string foreign = ReadText(JobDir(id) + "/" + name);

      for (int agents = 0; agents < 2; ++agents) {
        RestartAgent();

        EXPECT_THAT(register_->ListRunning(), IsEmpty()) << name;
        ASSERT_THAT(register_->ListForeign(), SizeIs(1)) << name;
        EXPECT_EQ(register_->ListForeign()[0].id, id);
        EXPECT_THAT(register_->ListForeign()[0].why, HasSubstr(name));
      }
      EXPECT_EQ(ReadText(JobDir(id) + "/" + name), foreign);
      WriteText(JobDir(id) + "/" + name, before);
    }
  }
  EXPECT_EQ(::kill(pid, 0), 0) << "its process works on";
}

TEST_F(AdoptCheckpointsTest, AResultThatIsNotUnderstoodIsLeftAloneByEveryAgent) {
  const auto is_foreign = [&] {
    return Eventually([&] { return register_->ListForeign().size() == 1; });
  };
  for (const char* name : {jobs::kResultFile, jobs::kStoppingFile}) {
    SetCheckpointProgram(std::string("echo '{\"code\":0}' >$job/") + name);
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

    EXPECT_THAT(OutcomeOf(*operation).status, StatusIs(Code::kUnimplemented, HasSubstr(name)));
    EXPECT_TRUE(is_foreign());

    RestartAgent();

    EXPECT_TRUE(is_foreign());
    EXPECT_THAT(Jobs(), ElementsAre(operation->id()));
    ASSERT_THAT(jobs::RemoveJob(config_.jobs_dir(), operation->id()), IsOk());
    BeginAgent();
  }
}

TEST_F(AdoptCheckpointsTest, AnAdoptedProcessCanBeCancelledToo) {
  SetCheckpointProgram(UnwindWhenAsked());
  StartAndWait();
  RestartAgent();
  const std::shared_ptr<Operation> adopted = Adopted();

  EXPECT_THAT(adopted->Cancel(), IsOk());

  EXPECT_THAT(ResultOf(*adopted).status, StatusIs(Code::kCancelled));
}

TEST_F(AdoptCheckpointsTest, ADestroyedAgentDoesNotWaitForItsProcesses) {
  SetCheckpointProgram(WaitForGo());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  const auto began = Deadline::Clock::now();

  checkpoints_.reset();

  EXPECT_LT(Deadline::Clock::now() - began, seconds(2));
  EXPECT_FALSE(operation->WaitForNews(0, Deadline::After(milliseconds(0))).finished);
}

}  // namespace
}  // namespace cryopod::daemon
