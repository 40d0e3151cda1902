#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "agent/os/cgroup.h"
#include "agent/os/cgroup_paths.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"

namespace cryopod::test {

// Where this machine has a hierarchy that can freeze and that we may write to.
inline std::optional<std::string> FreezerMount(CgroupVersion version) {
  const Result<std::vector<CgroupMount>> mounts = ReadCgroupMounts();
  if (!mounts.ok()) return std::nullopt;
  const std::string wanted = version == CgroupVersion::kV1 ? "freezer" : "";
  for (const CgroupMount& mount : *mounts) {
    const bool fits = HasController(mount.controllers, wanted);
    if (fits && ::access(mount.path.c_str(), W_OK) == 0) return mount.path;
  }
  return std::nullopt;
}

// A cgroup of its own below the mount, removed with all that is in it. Tests skip themselves when
// !valid(): not every machine has both versions.
class TestCgroup {
 public:
  explicit TestCgroup(CgroupVersion version) {
    const std::optional<std::string> mount = FreezerMount(version);
    if (!mount) return;
    static int count = 0;
    name_ = "cryopod-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    mount_ = *mount;
    if (::mkdir(path().c_str(), 0755) != 0) name_.clear();
  }
  TestCgroup(const TestCgroup&) = delete;
  TestCgroup& operator=(const TestCgroup&) = delete;
  ~TestCgroup() {
    if (!valid()) return;
    const Deadline deadline = Deadline::After(std::chrono::seconds(10));
    Result<Cgroup> cgroup = Cgroup::Open(path());
    EXPECT_TRUE(cgroup.ok() && cgroup->Kill(deadline).ok());
    Result<UniqueFd> mount = OpenDirectory(mount_);
    EXPECT_TRUE(mount.ok() && RemoveCgroupAt(mount->get(), name_, deadline).ok());
  }

  bool valid() const { return !name_.empty(); }
  std::string path() const { return mount_ + "/" + name_; }
  // One more beneath it.
  std::string MakeChild(const std::string& name) const {
    const std::string child = path() + "/" + name;
    if (::mkdir(child.c_str(), 0755) != 0) ADD_FAILURE() << "mkdir " << child;
    return child;
  }

 private:
  std::string mount_;
  std::string name_;
};

// A process that entered the cgroup before it ran `argv`.
inline Result<Subprocess> SpawnIn(const std::string& cgroup_path,
                                  std::vector<std::string> argv = {"/bin/sleep", "60"}) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(cgroup_path));
  SpawnOptions options;
  options.argv = std::move(argv);
  options.cgroup_dir_fds = {dir.get()};
  return Subprocess::Spawn(options);
}

}  // namespace cryopod::test
