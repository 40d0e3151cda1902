#pragma once

#include <string>

#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/installation.h"
#include "agent/ctl/install/node_paths.h"
#include "agent/os/status.h"

namespace cryopod::ctl {

// The record of an installation while it is made: every method records, then acts, then tells. All
// of them leave alone what is there already.
//
// Threads  one.
class ChangeLog {
 public:
  // `report` is borrowed. Errors: kDataLoss (a damaged record).
  static Result<ChangeLog> Open(const NodePaths& paths, ChangeReport& report);

  const Installation& installation() const { return installation_; }

  Status MakeDirectory(const std::string& path);
  // True when the file had to be written. Errors: kAlreadyExists when it is neither ours nor the
  // same.
  Result<bool> WriteFile(const std::string& path, const std::string& content);
  // True when `drop_in` had to be added to what `config` imports.
  Result<bool> Import(const std::string& config, const std::string& drop_in);
  // The user and the group of the name.
  Status MakeSystemUser(const std::string& name);
  Status EnableUnit(const std::string& unit, bool changed);

 private:
  ChangeLog(const NodePaths& paths, ChangeReport& report, Installation installation)
      : paths_(paths), report_(report), installation_(std::move(installation)) {}
  // Replaces what was recorded of the same kind and subject.
  Status Record(const Change& change);

  NodePaths paths_;
  ChangeReport& report_;
  Installation installation_;
};

// Replaces the content of a file, also behind a symbolic link, and keeps its mode and owner; a file
// that is not there gets `mode`.
Status ReplaceFile(const std::string& path, const std::string& content, mode_t mode = 0644);

}  // namespace cryopod::ctl
