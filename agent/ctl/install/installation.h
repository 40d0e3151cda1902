#pragma once

#include <optional>
#include <string>
#include <vector>

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
  std::string content;
  bool created = false;  // kImport: the configuration did not exist
};

// All that an installation did, in its order: what has to be undone from the end.
//
// Shape  installation.json in the state directory, 0600. A change is recorded and synced before it
// is
//        made, so one that is recorded may not have happened.
struct Installation {
  std::string version;  // of cryopod
  std::string prefix;
  std::vector<Change> changes;

  const Change* Find(ChangeKind kind, const std::string& subject) const;
};

// Nothing when there is no such file. Errors: kDataLoss.
Result<std::optional<Installation>> ReadInstallation(const std::string& path);
Status WriteInstallation(const std::string& path, const Installation& installation);

}  // namespace cryopod::ctl
