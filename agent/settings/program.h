#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "agent/os/status.h"
#include "agent/settings/checks.h"

namespace cryopod::settings {

// The one configuration file of a node. It need not exist.
inline constexpr char kDefaultFile[] = "/etc/cryopod/cryopod.toml";

// One setting, declared once: from it come the key in the file, the flag, --help, --print-config
// and the example file. The key "restore_hold" is the flag --restore-hold.
struct Setting {
  std::string key;
  std::variant<std::string*, uint32_t*, bool*> value;  // holds the default until it is read
  std::string unit;                                    // "seconds", "path"; goes after the help
  std::string help;
  Check check = nullptr;  // any value
};

// A program with a section of the file to itself. Keys of other programs' sections are not looked
// at, so that one program does not refuse what another has learnt.
struct Program {
  std::string name;  // "cryopod-agent"
  std::string description;
  std::string version;
  std::string section;  // "agent"
  std::vector<Setting> settings;
  std::string file = kDefaultFile;  // when no --config names another
};

// Sets the program's settings: the defaults, then the file's, then the flags'. Knows --config PATH
// (which must exist), --print-config, --help and --version beside the settings' own flags.
//
// Returns what is to be printed before ending well; empty: go on.
// Errors: kInvalidArgument (an unknown key or flag, a bad value; names it, and file and line),
// kNotFound (--config), kPermissionDenied (also a file that others than its owner may write).
Result<std::string> ReadCommandLine(const Program& program, int argc, const char* const* argv);

// The file's part alone. An absent file is kNotFound.
Status ReadSettingsFile(const Program& program, const std::string& path);

// The program's section as the file has it, with the values that hold; reading it gives the same.
std::string PrintSettings(const Program& program);

// The program's section for the example file: every key with help, unit and default, commented out.
std::string PrintExample(const Program& program);

}  // namespace cryopod::settings
