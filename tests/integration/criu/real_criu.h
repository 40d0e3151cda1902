#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "agent/criu/criu_client.h"
#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"

namespace cryopod::criu::test {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The lab's CRIU, run on this machine with the lab's libraries, and tickers in a cgroup of the
// test's own. Skips itself where there is no lab, no root or no such cgroup hierarchy.
class RealCriu : public ::testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const char* lab = std::getenv("CRYOPOD_LAB_DIR");
    root_ = std::string(lab != nullptr ? lab : "/var/lib/cryopod-lab") + "/root";
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!PathExists(root_ + "/usr/sbin/criu")) GTEST_SKIP() << "no lab: run hack/lab root";
    if (!cgroup_.valid()) GTEST_SKIP() << "no writable cgroup hierarchy of this version";
    const std::string libraries = "/lib/x86_64-linux-gnu";
    cryopod::test::WriteText(criu(), "#!/bin/sh\nexec " + root_ +
                                         "/lib64/ld-linux-x86-64.so.2 --library-path " + root_ +
                                         libraries + ":" + root_ + "/usr" + libraries + " " +
                                         root_ + "/usr/sbin/criu \"$@\"\n");
    std::filesystem::permissions(criu(), std::filesystem::perms::owner_all);
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Cgroup leaf, Cgroup::Open(cgroup_.path()));
    leaf_ = std::make_unique<Cgroup>(std::move(leaf));
  }

  std::string criu() const { return temp_.path() / "criu"; }
  const Cgroup& leaf() const { return *leaf_; }
  std::string counter() const { return temp_.path() / "count"; }
  std::string scratch(const std::string& name) const { return temp_.path() / name; }

  // Runs a program in the test's cgroup, in a session of its own.
  Result<Subprocess> SpawnInLeaf(std::vector<std::string> argv,
                                 std::vector<std::string> environment = {}) {
    SpawnOptions options;
    options.argv = std::move(argv);
    options.environment = std::move(environment);
    options.environment.push_back("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    options.cgroup_dir_fds = {leaf_->dir_fd()};
    options.new_session = true;
    return Subprocess::Spawn(options);
  }

  Result<Subprocess> StartTicker(const std::string& mebibytes, const std::string& hold = "") {
    Result<Subprocess> ticker = SpawnInLeaf({CRYOPOD_TICKER, counter(), mebibytes, hold});
    if (ticker.ok() && !Progresses()) return Status(Code::kUnknown, "the ticker does not tick");
    return ticker;
  }

  static uint64_t Count(const std::string& file) {
    const Result<std::string> text = ReadFile(file);
    return text.ok() ? std::strtoull(text->c_str(), nullptr, 10) : 0;
  }

  // True when both processes of the ticker go on counting within a few seconds.
  bool Progresses() const {
    for (const std::string& file : {counter(), counter() + ".child"}) {
      const uint64_t before = Count(file);
      const Deadline deadline = Deadline::After(seconds(5));
      while (Count(file) <= before) {
        if (deadline.expired()) return false;
        std::this_thread::sleep_for(milliseconds(2));
      }
    }
    return true;
  }

  static DumpOptions OptionsFor(pid_t pid, const Cgroup& leaf) {
    DumpOptions options;
    options.pid = pid;
    options.root = "/";
    options.freeze_cgroup = leaf.path();
    return options;
  }

  Status Freeze() {
    CRYOPOD_RETURN_IF_ERROR(leaf_->Freeze());
    return leaf_->WaitFrozen(Deadline::After(seconds(5)));
  }

 private:
  cryopod::test::TempDirectory temp_;
  cryopod::test::TestCgroup cgroup_{GetParam()};
  std::unique_ptr<Cgroup> leaf_;
  std::string root_;
};

inline std::string VersionName(const ::testing::TestParamInfo<CgroupVersion>& info) {
  return info.param == CgroupVersion::kV1 ? "CgroupV1" : "CgroupV2";
}

}  // namespace cryopod::criu::test
