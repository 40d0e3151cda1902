#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "agent/os/file.h"
#include "restore/rootfs/rootfs_writer.h"
#include "tests/support/read_text.h"
#include "tests/support/temp_directory.h"

namespace cryopod::restore {

// A root directory with a secret beside it, and a writer that entries are given to.
class LayerApplier : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(root());
    std::filesystem::create_directory(outside());
    test::WriteText(outside() / "secret", "untouched");
    Result<UniqueFd> dir = OpenDirectory(root().string());
    ASSERT_TRUE(dir.ok());
    root_fd_ = std::move(*dir);
    writer_ = std::make_unique<RootfsWriter>(root_fd_.get());
  }

  std::filesystem::path root() const { return temp_.path() / "root"; }
  std::filesystem::path outside() const { return temp_.path() / "outside"; }
  RootfsWriter& writer() { return *writer_; }

  static archive::LayerEntry Entry(archive::LayerEntry::Kind kind, const std::string& path) {
    archive::LayerEntry entry;
    entry.kind = kind;
    entry.path = path;
    entry.mode = kind == archive::LayerEntry::Kind::kDirectory ? 0755 : 0644;
    return entry;
  }
  // Gives the bytes a few at a time.
  static archive::LayerSink::Content Content(const std::string& bytes) {
    return [left = bytes](char* buffer, size_t size) mutable -> Result<size_t> {
      const size_t count = std::min({left.size(), size, size_t{3}});
      std::memcpy(buffer, left.data(), count);
      left.erase(0, count);
      return count;
    };
  }
  Status Apply(archive::LayerEntry entry, const std::string& bytes = "") {
    entry.size_bytes = bytes.size();
    return writer_->Apply(entry, Content(bytes));
  }

  struct stat StatOf(const std::string& name) const {
    struct stat status {};
    EXPECT_EQ(::lstat((root() / name).c_str(), &status), 0) << name;
    return status;
  }
  std::string XattrOf(const std::string& name, const std::string& xattr) const {
    char value[256];
    const ssize_t size = ::lgetxattr((root() / name).c_str(), xattr.c_str(), value, sizeof(value));
    return size < 0 ? "" : std::string(value, static_cast<size_t>(size));
  }
  bool CanSetXattr(const std::string& name) const {
    return ::setxattr(root().c_str(), name.c_str(), "x", 1, 0) == 0;
  }

  test::TempDirectory temp_;
  UniqueFd root_fd_;
  std::unique_ptr<RootfsWriter> writer_;
};

}  // namespace cryopod::restore
