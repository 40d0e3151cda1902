#pragma once

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {

// A directory that looks like the upper directory of a mounted overlay: what overlayfs itself would
// have left there, made by hand.
class UpperFixture {
 public:
  std::filesystem::path path() const { return temp_.path() / "upper"; }
  std::filesystem::path operator/(const std::string& name) const { return path() / name; }

  UpperFixture() { std::filesystem::create_directory(path()); }

  void Directory(const std::string& name, mode_t mode = 0755) {
    std::filesystem::create_directories(*this / name);
    EXPECT_EQ(::chmod((*this / name).c_str(), mode), 0);
  }
  void File(const std::string& name, const std::string& content, mode_t mode = 0644) {
    WriteText(*this / name, content);
    EXPECT_EQ(::chmod((*this / name).c_str(), mode), 0);
  }
  void Whiteout(const std::string& name) {
    EXPECT_EQ(::mknod((*this / name).c_str(), S_IFCHR, makedev(0, 0)), 0) << name;
  }
  void Xattr(const std::string& name, const std::string& key, const std::string& value) {
    EXPECT_EQ(::lsetxattr((*this / name).c_str(), key.c_str(), value.data(), value.size(), 0), 0)
        << name << " " << key;
  }
  // Whether this file system and this user can hold what the tests need.
  bool CanMakeMarks() {
    WriteText(temp_.path() / "probe", "");
    const bool xattrs =
        ::setxattr((temp_.path() / "probe").c_str(), "trusted.overlay.x", "y", 1, 0) == 0;
    return xattrs && ::geteuid() == 0;
  }

 private:
  TempDirectory temp_;
};

// Keeps what it is given.
class KeepingSink : public LayerSink {
 public:
  Status Apply(const LayerEntry& entry, const Content& content) override {
    paths.push_back(entry.path);
    std::string bytes;
    std::string buffer(70'000, '\0');
    while (entry.kind == LayerEntry::Kind::kFile) {
      CRYOPOD_ASSIGN_OR_RETURN(const size_t got, content(buffer.data(), buffer.size()));
      if (got == 0) break;
      bytes.append(buffer, 0, got);
    }
    const bool mark = entry.kind == LayerEntry::Kind::kOpaque;
    entries[mark ? entry.path + " (opaque)" : entry.path] = entry;
    if (entry.kind == LayerEntry::Kind::kFile) contents[entry.path] = bytes;
    return Status();
  }

  std::vector<std::string> paths;
  std::map<std::string, LayerEntry> entries;
  std::map<std::string, std::string> contents;
};

}  // namespace cryopod::archive::test
