// Whom the restore of a pod refuses before anything of it is touched, and what it records of whom
// it does not.
#include <gmock/gmock.h>

#include <filesystem>

#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/once_record.h"
#include "tests/unit/restore/pod_restore_fixture.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using wrapper::Answer;
using Decision = wrapper::Answer::Decision;

class RestoreOnceTest : public PodRestoreFixture {
 protected:
  void MakeOncePod() {
    jobs::RestoreJob job = job_;
    job.restore_once = true;
    MakePod(job);
  }
  bool IsClaimed() const { return fs::exists(Path("state/once")); }
  Status CheckFor(const std::string& uid) const {
    return wrapper::CheckOnce(job_.state_dir, job_.digest,
                              {"web-1", uid, "shop", "web", job_.restore_from, "", "", ""});
  }
  void ClaimByAnother() const {
    ASSERT_THAT(wrapper::ClaimOnce(job_.state_dir, job_.digest,
                                   {"web-1", "u-0", "shop", "web-0", "web-1", "", "r-0", ""}),
                test::IsOk());
  }
  // Refused, and nothing of the container is touched.
  void ExpectRefused(const wrapper::Request& request, const std::string& reason,
                     const std::string& code) {
    const Answer answer = pod().OnCreate(request);
    EXPECT_EQ(answer.decision, Decision::kFail);
    EXPECT_THAT(answer.reason, HasSubstr(reason));
    EXPECT_TRUE(answer.may_start_cold);
    EXPECT_EQ(answer.reason_code, code);
    EXPECT_TRUE(fs::is_empty(request.rootfs));
  }
};

TEST_F(RestoreOnceTest, TheArchiveIsClaimedBeforeTheFirstContainerRunsAndNotEarlier) {
  MakeOncePod();
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  EXPECT_FALSE(IsClaimed());

  EXPECT_EQ(pod().OnStart(StartRequest(app)), Answer::Pass());

  EXPECT_TRUE(IsStopped(pid)) << "held, nothing has run";
  EXPECT_EQ(CheckFor("u-2").reason(), Reason::kAlreadyRestored);
  EXPECT_THAT(CheckFor(job_.pod_uid), test::IsOk());
}

TEST_F(RestoreOnceTest, ItsOwnPodIsRestoredWhole) {
  MakeOncePod();

  RestoreAndStart(CreateRequest("app", "c1"));
  RestoreAndStart(CreateRequest("sidecar", "c2"));

  EXPECT_TRUE(pod().finished());
}

TEST_F(RestoreOnceTest, AnArchiveThatIsNotRestoredOnceIsNotClaimed) {
  RestoreAndStart(CreateRequest("app", "c1"));

  EXPECT_FALSE(IsClaimed());
  EXPECT_THAT(CheckFor("u-2"), test::IsOk());
}

TEST_F(RestoreOnceTest, AnotherPodIsRefusedAsOftenAsItAsksAlsoWhenItDoesNotAskForOnceItself) {
  ClaimByAnother();

  for (const char* id : {"c1", "c2"}) {
    ExpectRefused(CreateRequest("app", id), "AlreadyRestored", "already_restored");
  }
  EXPECT_EQ(SavedReport().stage, jobs::Stage::kFailed);
  EXPECT_EQ(SavedReport().error.reason(), Reason::kAlreadyRestored);
  EXPECT_FALSE(pod().HasWork()) << "nothing is unpacked for it";
}

TEST_F(RestoreOnceTest, WhenItsRecordIsRemovedTheNextTryIsRestored) {
  ClaimByAnother();
  EXPECT_EQ(Create("app", "c1").decision, Decision::kFail);

  fs::remove_all(Path("state/once"));

  EXPECT_TRUE(CanBeRestored("app", "c2"));
  EXPECT_EQ(SavedReport().stage, jobs::Stage::kStaging);
}

TEST_F(RestoreOnceTest, WhoComesSecondAtTheStartIsEndedAndNotConsumed) {
  MakeOncePod();
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  ClaimByAnother();

  const Answer answer = pod().OnStart(StartRequest(app));

  EXPECT_EQ(answer.decision, Decision::kFail);
  EXPECT_THAT(answer.reason, HasSubstr("AlreadyRestored"));
  EXPECT_TRUE(IsGone(pid));
  EXPECT_FALSE(IsConsumed("app"));
  EXPECT_FALSE(IsHeld(app));
}

TEST_F(RestoreOnceTest, AnotherImageIsRefusedBeforeAnythingIsTouched) {
  wrapper::Request request = CreateRequest("app", "c1");
  request.image_ref = "sha256:other";

  ExpectRefused(request, "sha256:other", "request_differs");

  EXPECT_EQ(SavedReport().containers.front().reason_code, Reason::kRequestDiffers);
  EXPECT_TRUE(CanBeRestored("app", "c2"));
}

TEST_F(RestoreOnceTest, WhatDiffersAndIsAllowedIsRecordedWithTheRestore) {
  wrapper::Request request = CreateRequest("app", "c1");
  request.image_ref = "sha256:other";
  request.differences = "image";

  RestoreAndStart(request);

  ASSERT_THAT(pod().ReleaseHeld(), test::IsOk());
  const auto record = wrapper::ReadConsumed(job_.state_dir, request);
  ASSERT_THAT(record, test::IsOk());
  EXPECT_THAT(record->restored.at("app"),
              AllOf(HasSubstr("sha256:other"), HasSubstr("sha256:image")));
}

TEST_F(RestoreOnceTest, BesideAContainerThatIsRestoredOrHeldNoneMayStartCold) {
  const wrapper::Request app = CreateRequest("app", "c1");
  Restore(app);
  for (const char* id : {"c2", "c3"}) {
    wrapper::Request request = CreateRequest("sidecar", id);
    request.image_ref = "sha256:other";

    const Answer answer = pod().OnCreate(request);

    EXPECT_EQ(answer.decision, Decision::kFail);
    EXPECT_FALSE(answer.may_start_cold);
    EXPECT_EQ(pod().OnStart(StartRequest(app)), Answer::Pass());
  }
}

TEST_F(RestoreOnceTest, AFailureAfterTheContainerWasTouchedMayNotStartCold) {
  Begin("app", "c1");

  EXPECT_FALSE(pod().OnOutcome("c1", {false, 0, "criu failed"}).may_start_cold);
}

TEST_F(RestoreOnceTest, AnInitContainerThatIsNotRunAgainPreventsAColdStart) {
  wrapper::Request setup = CreateRequest("setup", "c1");
  setup.cold_start = true;

  EXPECT_EQ(pod().OnCreate(setup), Answer::Finished());

  setup.container_name = "app";
  EXPECT_THAT(wrapper::WriteColdStart(job_.state_dir, setup),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("not run again")));
}

}  // namespace
}  // namespace cryopod::restore
