// What the restore of a pod does with a container that had finished before the cut.

#include <filesystem>

#include "restore/runtime/protocol/consumed_record.h"
#include "tests/support/read_text.h"
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
  wrapper::Due DueOfSetup() {
    const Result<wrapper::Due> due =
        wrapper::DueOf(job_.state_dir, CreateRequest("setup", "c" + std::to_string(++id_)));
    EXPECT_THAT(due, test::IsOk());
    return due.ok() ? *due : wrapper::Due::kRestore;
  }
  void RestoreAndStart(const std::string& container) {
    PodRestoreFixture::RestoreAndStart(CreateRequest(container, "c" + std::to_string(++id_)));
  }

 private:
  int id_ = 0;
};

TEST_F(FinishedContainerTest, InFrontOfTheOthersItIsReplacedAndThenLikeAnyOther) {
  EXPECT_EQ(CreateSetup(), Answer::Finished());
  RestoreAndStart("app");
  EXPECT_EQ(CreateSetup(), Answer::Finished()) << "the sidecar is still to be restored";

  RestoreAndStart("sidecar");

  EXPECT_TRUE(pod().finished());
  EXPECT_EQ(pod().report().containers.size(), 2u);
  EXPECT_EQ(DueOfSetup(), wrapper::Due::kStart);
  EXPECT_EQ(CreateSetup(), Answer::Pass());
}

TEST_F(FinishedContainerTest, BehindTheOthersItIsReplacedAsWell) {
  RestoreAndStart("app");
  RestoreAndStart("sidecar");
  EXPECT_EQ(DueOfSetup(), wrapper::Due::kFinish) << "so that the wrapper does it without asking";

  EXPECT_EQ(CreateSetup(), Answer::Finished());

  EXPECT_EQ(DueOfSetup(), wrapper::Due::kStart);
}

TEST_F(FinishedContainerTest, AfterARestoreOfAnOlderVersionItIsLikeAnyOther) {
  for (const char* name : {"app", "sidecar"}) {
    std::filesystem::create_directories(job_.state_dir + "/consumed/u-1");
    test::WriteText(job_.state_dir + "/consumed/u-1/" + name, "restore_from=web-1\n");
  }

  EXPECT_EQ(CreateSetup(), Answer::Pass());
}

TEST_F(FinishedContainerTest, WithoutTheArchiveItIsRefusedToo) {
  std::filesystem::remove_all(job_.store_root + "/web-1");

  EXPECT_EQ(CreateSetup().decision, Decision::kFail);
}

}  // namespace
}  // namespace cryopod::restore
