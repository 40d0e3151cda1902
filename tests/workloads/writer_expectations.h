// What `writer` expects of the file system: taken down when a file has been made, compared later.
#pragma once

#include <sys/xattr.h>

#include <filesystem>
#include <map>
#include <set>

#include "tests/workloads/workload.h"

namespace cryopod::workload {

inline std::string RandomText(std::size_t size_bytes) {
  std::string text(size_bytes, '\0');
  std::uint64_t value = RandomNumber();
  for (char& c : text) c = static_cast<char>((value = Mix(value)) & 0xff);
  return text;
}

inline std::string ReadFromStart(int fd) {
  std::string text;
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t size = ::pread(fd, buffer, sizeof(buffer), static_cast<off_t>(text.size()));
    if (size <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(size));
  }
}

inline void WriteFile(const std::string& path, const std::string& content, mode_t mode) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || !WriteAll(fd, content) || ::fchmod(fd, mode) != 0) Die(path);
  ::close(fd);
}

inline void SetAttribute(const std::string& path, const char* name, const std::string& value) {
  if (::setxattr(path.c_str(), name, value.data(), value.size(), 0) != 0 && errno != ENOTSUP) {
    Die(path);
  }
}

inline std::set<std::string> NamesIn(const std::string& path) {
  std::set<std::string> names;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(path, absent)) {
    names.insert(entry.path().filename());
  }
  return names;
}

// All that can be seen of one file. Times are compared only where the workload set them.
struct FileFacts {
  mode_t mode = 0;  // with the type; 0: the file does not exist
  uid_t uid = 0;
  gid_t gid = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t links = 0;
  std::uint64_t content_hash = 0;
  std::string target;     // of a symbolic link
  std::string attribute;  // user.cryopod

  bool operator==(const FileFacts&) const = default;
};

inline FileFacts LookAt(const std::string& path) {
  FileFacts facts;
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) return facts;
  facts.mode = status.st_mode;
  facts.uid = status.st_uid;
  facts.gid = status.st_gid;
  char buffer[4096];
  if (S_ISLNK(status.st_mode)) {
    const ssize_t size = ::readlink(path.c_str(), buffer, sizeof(buffer));
    if (size > 0) facts.target.assign(buffer, static_cast<std::size_t>(size));
  }
  if (S_ISREG(status.st_mode)) {
    facts.size_bytes = static_cast<std::uint64_t>(status.st_size);
    facts.links = status.st_nlink;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const std::string content = ReadFromStart(fd);
    facts.content_hash = HashBytes(content.data(), content.size());
    if (fd >= 0) ::close(fd);
    const ssize_t size = ::lgetxattr(path.c_str(), "user.cryopod", buffer, sizeof(buffer));
    if (size > 0) facts.attribute.assign(buffer, static_cast<std::size_t>(size));
  }
  return facts;
}

class Expectations {
 public:
  std::size_t size() const { return files_.size(); }

  // From now on the file should stay as it is.
  void Expect(const std::string& path) {
    files_[path] = LookAt(path);
    if (files_[path].mode == 0) Die(path);
  }

  // It and all that was expected below it.
  void ExpectAbsent(const std::string& path) {
    std::erase_if(files_, [&](const auto& file) { return file.first.starts_with(path + "/"); });
    files_[path] = FileFacts();
  }

  void ExpectSameFile(const std::string& path, const std::string& other) {
    Expect(path);
    Expect(other);
    same_files_[path] = other;
  }

  void ExpectDirectory(const std::string& path, std::set<std::string> names) {
    Expect(path);
    directories_[path] = std::move(names);
  }

  void ExpectTime(const std::string& path) { times_[path] = ModifiedNs(path); }

  // Empty when all is as expected.
  std::string Verify() const {
    for (const auto& [path, expected] : files_) {
      const FileFacts found = LookAt(path);
      if (found != expected) return path + " " + Difference(expected, found);
    }
    for (const auto& [path, other] : same_files_) {
      if (InodeNumber(path) != InodeNumber(other)) return path + " is not " + other + " any more";
    }
    for (const auto& [path, names] : directories_) {
      if (NamesIn(path) != names) return path + " holds other names";
    }
    for (const auto& [path, time_ns] : times_) {
      if (ModifiedNs(path) != time_ns) return path + " has another time";
    }
    return "";
  }

 private:
  static std::string Difference(const FileFacts& expected, const FileFacts& found) {
    if (found.mode == 0) return "is gone";
    if (expected.mode == 0) return "is there again";
    if (found.mode != expected.mode) return "has another mode";
    if (found.uid != expected.uid || found.gid != expected.gid) return "has another owner";
    if (found.links != expected.links) return "has another number of links";
    if (found.target != expected.target) return "points elsewhere";
    if (found.attribute != expected.attribute) return "has another attribute";
    return "has another content";
  }

  static ino_t InodeNumber(const std::string& path) {
    struct stat status = {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
  }

  static std::int64_t ModifiedNs(const std::string& path) {
    struct stat status = {};
    if (::lstat(path.c_str(), &status) != 0) return 0;
    return status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
  }

  std::map<std::string, FileFacts> files_;
  std::map<std::string, std::string> same_files_;
  std::map<std::string, std::set<std::string>> directories_;
  std::map<std::string, std::int64_t> times_;
};

}  // namespace cryopod::workload
