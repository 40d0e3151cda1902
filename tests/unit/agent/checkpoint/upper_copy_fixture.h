#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/checkpoint/upper_copy.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::checkpoint::test {

// Path → everything about the entry that a copy must keep, in words.
using TreeDescription = std::map<std::string, std::string>;

inline std::string DescribeXattrs(const std::string& path) {
  std::string names(65'536, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  std::map<std::string, std::string> sorted;
  for (size_t at = 0; size > 0 && at < static_cast<size_t>(size);) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    std::string value(65'536, '\0');
    const ssize_t length = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    value.resize(length > 0 ? static_cast<size_t>(length) : 0);
    sorted[name] = value;
  }
  std::string text;
  for (const auto& [name, value] : sorted) text += " " + name + "=" + value;
  return text;
}

inline std::string DescribeEntry(const std::string& path, const struct stat& status) {
  const auto number = [](auto value) { return std::to_string(value); };
  std::string text = "mode " + number(status.st_mode) + " owner " + number(status.st_uid) + ":" +
                     number(status.st_gid) + " mtime " + number(status.st_mtim.tv_sec) + "." +
                     number(status.st_mtim.tv_nsec);
  if (S_ISREG(status.st_mode)) text += " content " + cryopod::test::ReadText(path);
  if (S_ISLNK(status.st_mode)) text += " to " + std::filesystem::read_symlink(path).string();
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
    text += " device " + number(major(status.st_rdev)) + ":" + number(minor(status.st_rdev));
  }
  return text + DescribeXattrs(path);
}

// Sockets are left out, as the copy does. Hard links name the first path of their file.
inline TreeDescription DescribeTree(const std::filesystem::path& root) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    paths.push_back(entry.path().lexically_relative(root));
  }
  std::sort(paths.begin(), paths.end());
  TreeDescription tree;
  std::map<ino_t, std::string> first_names;
  for (const std::string& path : paths) {
    struct stat status {};
    if (::lstat((root / path).c_str(), &status) != 0) ADD_FAILURE() << "lstat " << path;
    if (S_ISSOCK(status.st_mode)) continue;
    tree[path] = DescribeEntry(root / path, status);
    if (!S_ISREG(status.st_mode) || status.st_nlink < 2) continue;
    const auto [first, is_new] = first_names.try_emplace(status.st_ino, path);
    if (!is_new) tree[path] += " link to " + first->second;
  }
  return tree;
}

// A sentence for each entry in which the two differ; empty when they are alike.
inline std::vector<std::string> Differences(const std::filesystem::path& wanted_root,
                                            const std::filesystem::path& found_root) {
  const TreeDescription wanted = DescribeTree(wanted_root);
  const TreeDescription found = DescribeTree(found_root);
  std::vector<std::string> differences;
  for (const auto& [path, text] : wanted) {
    const auto other = found.find(path);
    if (other == found.end()) {
      differences.push_back(path + " is missing: " + text.substr(0, 200));
    } else if (other->second != text) {
      differences.push_back(path + "\n  wanted " + text.substr(0, 200) + "\n  found  " +
                            other->second.substr(0, 200));
    }
  }
  for (const auto& [path, text] : found) {
    if (!wanted.contains(path))
      differences.push_back(path + " is too much: " + text.substr(0, 200));
  }
  return differences;
}

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
    if (!copy_) copy_.emplace(upper_dir_.get(), into_dir_.get());
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
  void BindSocket(const std::string& path) const {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, Up(path).c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  // Access and modification, in seconds.
  void SetTimes(const std::string& path, time_t accessed, time_t modified) const {
    const timespec times[2] = {{accessed, 5}, {modified, 123'456'789}};
    ASSERT_EQ(::utimensat(AT_FDCWD, Up(path).c_str(), times, 0), 0);
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
  std::optional<UpperCopy> copy_;
};

}  // namespace cryopod::checkpoint::test
