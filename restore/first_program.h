#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cryopod::restore {

// What an executable file adds to whom executes it, as bit masks of capabilities.
struct FileCapabilities {
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  bool operator==(const FileCapabilities&) const = default;
};

// How the live request names the program that its runtime executes.
struct FirstProgram {
  std::string name;                  // args[0]
  std::string working_directory;     // for a name with a slash that is not absolute
  std::vector<std::string> folders;  // of PATH, for a name without a slash
};

// The capabilities of that program, or of the interpreter that its first line names, in the root
// file system `rootfs` as its image has made it: afterwards an archive's files lie in it too. None
// when there is no such program.
//
// Source  Linux security/commoncap.c, fs/binfmt_script.c; <linux/capability.h> (vfs_cap_data).
FileCapabilities CapabilitiesOfProgram(const std::string& rootfs, const FirstProgram& program);

// The bytes of a security.capability attribute; none when they are of no form that is known, or
// belong to a user namespace.
FileCapabilities ParseFileCapabilities(std::string_view attribute);

}  // namespace cryopod::restore
