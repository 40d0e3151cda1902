#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::ctl {

// A file that exists under its name when it is complete and on disk, and not before. Mode 0600: it
// holds the memory of processes.
//
// Threads  one.
class ExportFile {
 public:
  // `overwrite` allows a regular file under this name, and only that.
  // Errors: kAlreadyExists, kInvalidArgument (no regular file under the name), kNotFound (no such
  // directory).
  static Result<ExportFile> Create(const std::string& path, bool overwrite);

  ExportFile(ExportFile&&) noexcept = default;
  // Without Commit() nothing is left.
  ~ExportFile();

  Status Append(std::string_view bytes);
  Status Commit();
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  ExportFile() = default;
  Status Link(const std::string& name);

  std::string path_;
  std::string name_;          // path_ within directory_
  std::string partial_name_;  // beside it
  bool overwrite_ = false;
  bool has_partial_name_ = false;
  UniqueFd directory_;
  UniqueFd file_;
  uint64_t size_bytes_ = 0;
};

}  // namespace cryopod::ctl
