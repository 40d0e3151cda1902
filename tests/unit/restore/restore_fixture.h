#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "agent/archive/store/archive_store.h"
#include "agent/jobs/restore_job.h"
#include "restore/runtime/protocol/messages.h"
#include "tests/support/mount_box.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"

namespace cryopod::restore {

// A store with the archive "web-1" of a pod with the containers "app" and "sidecar" (one task each)
// that was checkpointed on this very node when its container "setup" had finished, and a job that
// restores it. The image of each is "sha256:image".
class RestoreFixture : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // request.json of the job, for the program.
  void WriteRequestFile() const;
  // Damages the blob of the container's CRIU images.
  void DamageImages(const std::string& container);

  // The request with which the wrapper begins; its rootfs is mounted, its cgroup and its state
  // directory exist.
  wrapper::Request CreateRequest(const std::string& container, const std::string& id);
  wrapper::Request StartRequest(const wrapper::Request& create) const;
  // What the real runtime would have made: a stopped process in the container's cgroup, in a mount
  // namespace of its own.
  wrapper::Outcome RestoreProcess(const wrapper::Request& create);
  static bool IsStopped(pid_t pid);
  static bool IsGone(pid_t pid);

  std::string Path(const std::string& name) const { return (temp_.path() / name).string(); }
  std::string job_dir() const { return Path("job"); }
  static std::string CgroupOf(const wrapper::Request& request);
  static bool IsHeld(const wrapper::Request& request);
  bool IsConsumed(const std::string& container) const;

  test::TempDirectory temp_;
  jobs::RestoreJob job_;
  std::vector<std::string> mounted_;
  std::unique_ptr<test::TestCgroup> cgroup_;
  std::deque<test::MountBox> processes_;

 private:
  void MakeArchive();
  void MakeJob();
};

}  // namespace cryopod::restore
