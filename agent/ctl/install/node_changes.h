#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/ctl/install/change_report.h"
#include "agent/ctl/install/node_paths.h"
#include "agent/os/status.h"

namespace cryopod::ctl {

enum class ChangeKind {
  kGroup,      // `subject` was made with groupadd
  kUser,       // `subject` was made with useradd
  kDirectory,  // `subject` was made
  kFile,       // `subject` was written, with `content`
  kImport,     // the containerd configuration `subject` imports the file `content`
  kUnit,       // the systemd unit `subject` was enabled
};

// One thing that an installation did to the node.
struct Change {
  ChangeKind kind = ChangeKind::kFile;
  std::string subject;
  std::string content = {};
  bool created = false;  // `subject` is a path that did not exist
};

// All that an installation did, in its order: what has to be undone from the end.
//
// Shape  installation.json, 0600. A change is recorded and synced before it is made, so one that is
//        recorded may not have happened.
struct Installation {
  std::string version;  // of cryopod
  std::string prefix;
  std::vector<Change> changes;

  const Change* Find(ChangeKind kind, const std::string& subject) const;
  bool Has(ChangeKind kind) const;
};

// Nothing when there is no such file. Errors: kDataLoss.
Result<std::optional<Installation>> ReadInstallation(const std::string& path);
Status WriteInstallation(const std::string& path, const Installation& installation);

// What an installation changes on the node, with its record. How each kind of change is made, told
// and undone stands in one table (node_changes.cc): install goes through it forward, uninstall
// backward.
//
// Threads  one.
class NodeChanges {
 public:
  // Both are borrowed. Errors: kDataLoss (a damaged record).
  static Result<NodeChanges> Open(const NodePaths& paths, ChangeReport& report);

  // An installation has begun here, and none has been undone to its end.
  bool recorded() const { return recorded_; }
  const Installation& installation() const { return installation_; }

  // Records the change, makes it, tells of it: true. False when the node has it already, unless it
  // is to be made `again`. Errors: kAlreadyExists when a file is neither ours nor the same.
  Result<bool> Make(Change change, bool again = false);
  // From the end. What was never made, or is undone already, is a success. The record goes last.
  Status UndoAll();

 private:
  NodeChanges(const NodePaths& paths, ChangeReport& report) : paths_(paths), report_(report) {}
  Status Record(const Change& change);

  const NodePaths& paths_;
  ChangeReport& report_;
  Installation installation_;
  bool recorded_ = false;
};

}  // namespace cryopod::ctl
