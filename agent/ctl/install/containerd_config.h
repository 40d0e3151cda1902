#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::ctl {

inline constexpr size_t kContainerdConfigBytesMax = size_t{4} << 20;

// What of a containerd configuration file concerns an installation of cryopod.
//
// Source  containerd 2.x, docs/cri/config.md and docs/man/containerd-config.toml.5.md; how it takes
//         `imports` and mixed versions: containerd 2.1.9 (`containerd config dump`).
struct ContainerdConfig {
  std::optional<int64_t> version;
  std::vector<std::string> imports;    // as written
  std::string default_runtime;         // default_runtime_name, or empty
  std::string runtime_program;         // BinaryName of it, or of runc
  std::optional<bool> systemd_cgroup;  // SystemdCgroup of it
  bool empty = false;                  // comments and blanks only
};

// What holds for the default runtime in the file at `path` together with all that it imports, later
// files over earlier ones. `imports` and `version` are those of the file itself. A file that is
// absent is `empty`. Errors: kInvalidArgument (names file and line), kPermissionDenied.
Result<ContainerdConfig> ReadContainerdConfig(const std::string& path);

// Whether the text of the file `config_path` imports `path`, by its name or by a pattern; what is
// relative is so to the file's folder. Errors: kInvalidArgument, names the line.
Result<bool> Imports(const std::string& text, const std::string& config_path,
                     const std::string& path);

// The text with `path` among its imports, and nothing else changed; an empty text becomes one of
// version 3. Errors: kFailedPrecondition, with the remedy, for a text of another version: beside a
// drop-in of version 3, containerd drops the settings of an older one without a word.
Result<std::string> AddImport(const std::string& text, const std::string& path);

// The text without `path` among its imports. A statement that then imports nothing goes too when
// `drop_empty`.
Result<std::string> RemoveImport(const std::string& text, const std::string& path, bool drop_empty);

}  // namespace cryopod::ctl
