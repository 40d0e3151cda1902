#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/criu/criu_client.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// The CRIU processes of one checkpoint. Until CRIU can be asked takes longer than all that is
// looked at before a freeze: so all of them are started first, and start while that is looked at.
//
// Threads  one at a time.
class StartedCriu {
 public:
  // Starts one that tells its version and `containers` that will dump, with `tools_dir` first in
  // their PATH unless it is empty. Returns at once. Errors: kNotFound (no such program; names the
  // package).
  static Result<StartedCriu> Start(const std::string& criu_program, const std::string& tools_dir,
                                   size_t containers);

  // Waits for the version, refuses one that is too old, and lets CRIU learn what it needs of the
  // kernel where nobody has since the boot. Once only. Errors: those of criu::CheckVersion and
  // criu::CheckFeatures.
  Result<criu::Version> Check();

  // Processes for one capture: those that were started, or new ones when these have been taken.
  Result<std::vector<criu::CriuProcess>> Take();

 private:
  StartedCriu(std::string program, std::string tools_dir, size_t containers,
              criu::VersionInquiry version)
      : program_(std::move(program)),
        tools_dir_(std::move(tools_dir)),
        containers_(containers),
        version_(std::move(version)) {}
  Result<std::vector<criu::CriuProcess>> Spawn() const;

  std::string program_;
  std::string tools_dir_;
  size_t containers_;
  std::optional<criu::VersionInquiry> version_;
  std::vector<criu::CriuProcess> ready_;
};

}  // namespace cryopod::checkpoint
