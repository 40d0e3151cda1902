#include "agent/settings/program.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "agent/os/file.h"
#include "agent/os/text.h"
#include "agent/settings/settings_file.h"

namespace cryopod::settings {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;
constexpr std::array<std::string_view, 2> kSections{"agent", "gateway"};

std::string FlagOf(const Setting& setting) {
  std::string flag = "--" + setting.key;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string TextOf(const Setting& setting) {
  if (const auto* text = std::get_if<std::string*>(&setting.value)) return **text;
  if (const auto* number = std::get_if<uint32_t*>(&setting.value)) return std::to_string(**number);
  return *std::get<bool*>(setting.value) ? "true" : "false";
}

std::string LineOf(const Setting& setting) {
  const bool is_text = std::holds_alternative<std::string*>(setting.value);
  return setting.key + " = " + (is_text ? Quote(TextOf(setting)) : TextOf(setting)) + "\n";
}

// Why `text` is no value of the setting, in words after its name; empty when it has been set.
std::string Assign(const Setting& setting, const std::string& text) {
  if (HasControlCharacters(text)) return "holds a control character";
  if (setting.check) {
    if (const std::string why = setting.check(text); !why.empty()) {
      return why + ", not \"" + text + "\"";
    }
  }
  if (const auto* value = std::get_if<std::string*>(&setting.value)) {
    **value = text;
  } else if (const auto* number = std::get_if<uint32_t*>(&setting.value)) {
    if (!ParseNumber(text, **number)) return "must be a number, not \"" + text + "\"";
  } else {
    if (text != "true" && text != "false") return "must be true or false, not \"" + text + "\"";
    *std::get<bool*>(setting.value) = text == "true";
  }
  return "";
}

std::string AssignEntry(const Program& program, const Entry& entry) {
  const auto setting = std::ranges::find(program.settings, entry.key, &Setting::key);
  if (setting == program.settings.end()) {
    return "[" + entry.section + "] has no key " + entry.key;
  }
  const bool is_text = std::holds_alternative<std::string*>(setting->value);
  if (is_text != entry.quoted) {
    return entry.key + (is_text ? " must be a text in quotes" : " must stand without quotes");
  }
  const std::string why = Assign(*setting, entry.value);
  return why.empty() ? "" : entry.key + " " + why;
}

Result<std::string> ReadSafely(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return ErrnoStatus(errno, "fstat", path);
  if (!S_ISREG(status.st_mode)) return Status(Code::kInvalidArgument, path + " is no file");
  // It names programs that root runs.
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Status(Code::kPermissionDenied,
                  path + " may be written by others than its owner; give it mode 0644");
  }
  return ReadAll(file.get(), kFileBytesMax);
}

}  // namespace

Result<std::string> ReadCommandLine(const Program& program, int argc, const char* const* argv) {
  CLI::App app(program.description, program.name);
  std::string file;
  bool print = false;
  std::vector<std::string> texts(program.settings.size());
  std::vector<const CLI::Option*> flags;
  app.set_version_flag("--version", program.name + " " + program.version);
  const CLI::Option* const config =
      app.add_option("--config", file, "the configuration file, which must exist")
          ->type_name("PATH")
          ->take_last()
          ->default_str(program.file + " if there is one");
  app.add_flag("--print-config", print, "print the configuration that holds, and end");
  for (size_t i = 0; i < texts.size(); ++i) {
    const Setting& setting = program.settings[i];
    flags.push_back(app.add_option(FlagOf(setting), texts[i], setting.help)
                        ->type_name(setting.unit)
                        ->take_last()
                        ->default_str(TextOf(setting)));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return app.help();
  } catch (const CLI::Success& version) {
    return std::string(version.what()) + "\n";
  } catch (const CLI::ParseError& error) {
    return Status(Code::kInvalidArgument, std::string(error.what()) + "; --help lists the flags");
  }
  const bool is_named = config->count() > 0;
  const Status read = ReadSettingsFile(program, is_named ? file : program.file);
  if (is_named || read.code() != Code::kNotFound) CRYOPOD_RETURN_IF_ERROR(read);
  for (size_t i = 0; i < texts.size(); ++i) {
    if (flags[i]->count() == 0) continue;
    const std::string why = Assign(program.settings[i], texts[i]);
    if (!why.empty()) {
      return Status(Code::kInvalidArgument, FlagOf(program.settings[i]) + " " + why);
    }
  }
  return print ? PrintSettings(program) : std::string();
}

Status ReadSettingsFile(const Program& program, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadSafely(path).While("reading the configuration"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<Entry> entries, ParseSettings(text, path));
  for (const Entry& entry : entries) {
    std::string why;
    if (entry.section == program.section) {
      why = AssignEntry(program, entry);
    } else if (std::ranges::find(kSections, entry.section) == kSections.end()) {
      why = "there is no section [" + entry.section + "]";
    }
    if (!why.empty()) {
      return Status(Code::kInvalidArgument, path + ":" + std::to_string(entry.line) + ": " + why);
    }
  }
  return Status();
}

std::string PrintSettings(const Program& program) {
  std::string text = "[" + program.section + "]\n";
  for (const Setting& setting : program.settings) text += LineOf(setting);
  return text;
}

std::string PrintExample(const Program& program) {
  std::string text = "[" + program.section + "]\n";
  for (const Setting& setting : program.settings) {
    text += "\n# " + setting.help + " (" + setting.unit + ")\n# " + LineOf(setting);
  }
  return text;
}

}  // namespace cryopod::settings
