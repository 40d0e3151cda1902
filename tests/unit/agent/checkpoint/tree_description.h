#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/support/read_text.h"

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

}  // namespace cryopod::checkpoint::test
