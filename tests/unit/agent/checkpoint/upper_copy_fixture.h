#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "agent/checkpoint/upper_copy.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/tree_description.h"

namespace cryopod::checkpoint::test {

// An upper directory on disk and a copy of it on a tmpfs, as in a checkpoint.
class UpperCopyFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "owners, devices and trusted xattrs need root";
    std::filesystem::create_directory(upper());
    ASSERT_THAT(MountTmpfs(into(), uint64_t{64} << 20), cryopod::test::IsOk());
    upper_dir_ = OpenDirectory(upper()).value();
    into_dir_ = OpenDirectory(into()).value();
  }
  void TearDown() override {
    into_dir_.Reset();
    EXPECT_THAT(UnmountAll(into()), cryopod::test::IsOk());
  }

  std::filesystem::path upper() const { return temp_.path() / "upper"; }
  std::filesystem::path into() const { return temp_.path() / "into"; }
  std::filesystem::path Up(const std::string& path) const { return upper() / path; }
  // Made at the first use: whatever was changed before is no recent change.
  UpperCopy& copy() {
    if (!copy_) copy_ = std::make_unique<UpperCopy>(upper_dir_.get(), into_dir_.get());
    return *copy_;
  }

  void Write(const std::string& path, const std::string& bytes) const {
    std::filesystem::create_directories(Up(path).parent_path());
    std::ofstream(Up(path), std::ios::binary) << bytes;
  }
  void MakeDirectory(const std::string& path) const {
    std::filesystem::create_directories(Up(path));
  }
  void MakeWhiteout(const std::string& path) const {
    ASSERT_EQ(::mknod(Up(path).c_str(), S_IFCHR | 0600, makedev(0, 0)), 0);
  }
  void SetXattr(const std::string& path, const std::string& key, const std::string& value) const {
    ASSERT_EQ(::lsetxattr(Up(path).c_str(), key.c_str(), value.data(), value.size(), 0), 0)
        << key << " of " << path << ": " << std::strerror(errno);
  }
  // From now on nothing that stands in the tree is a recent change.
  static void Settle() { std::this_thread::sleep_for(std::chrono::milliseconds(70)); }

  // Both passes are done: is the copy the upper directory, entry by entry?
  void ExpectFaithful() const { EXPECT_THAT(Differences(upper(), into()), ::testing::IsEmpty()); }
  void FinishAndCompare(const std::set<std::string>& mapped_paths = {}) {
    ASSERT_THAT(copy().Finish(mapped_paths), cryopod::test::IsOk());
    ExpectFaithful();
  }

 private:
  cryopod::test::TempDirectory temp_;
  UniqueFd upper_dir_;
  UniqueFd into_dir_;
  std::unique_ptr<UpperCopy> copy_;
};

}  // namespace cryopod::checkpoint::test
