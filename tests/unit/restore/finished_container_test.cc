// What the restore of a pod does with a container that had finished before the cut.

#include <filesystem>

#include "tests/unit/restore/pod_restore_fixture.h"

namespace cryopod::restore {
namespace {

using wrapper::Answer;
using Decision = wrapper::Answer::Decision;

class FinishedContainerTest : public PodRestoreFixture {
 protected:
  Answer CreateSetup() {
    return pod().OnCreate(CreateRequest("setup", "c" + std::to_string(++id_)));
  }
  void RestoreAndStart(const std::string& container) {
    PodRestoreFixture::RestoreAndStart(CreateRequest(container, "c" + std::to_string(++id_)));
  }

 private:
  int id_ = 0;
};

TEST_F(FinishedContainerTest, IsNotRunAgainUntilNothingIsLeftToRestoreAndThenLikeAnyOther) {
  EXPECT_EQ(CreateSetup(), Answer::Finished());
  RestoreAndStart("app");
  EXPECT_EQ(CreateSetup(), Answer::Finished()) << "the sidecar is still to be restored";
  EXPECT_FALSE(IsConsumed("setup"));

  RestoreAndStart("sidecar");

  EXPECT_TRUE(pod().finished());
  EXPECT_EQ(pod().report().containers.size(), 2u);
  EXPECT_TRUE(IsConsumed("setup")) << "so that the wrapper knows it without asking";
  EXPECT_EQ(CreateSetup(), Answer::Pass());
}

TEST_F(FinishedContainerTest, ARecordThatWasNotWrittenIsMadeUpFor) {
  RestoreAndStart("app");
  RestoreAndStart("sidecar");
  std::filesystem::remove(job_.state_dir + "/consumed/u-1/setup");
  MakePod(job_);

  EXPECT_EQ(CreateSetup(), Answer::Pass());

  EXPECT_TRUE(IsConsumed("setup"));
}

TEST_F(FinishedContainerTest, WithoutTheArchiveItIsRefusedToo) {
  std::filesystem::remove_all(job_.store_root + "/web-1");

  EXPECT_EQ(CreateSetup().decision, Decision::kFail);
}

}  // namespace
}  // namespace cryopod::restore
