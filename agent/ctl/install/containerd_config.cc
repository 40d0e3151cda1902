#include "agent/ctl/install/containerd_config.h"

#include <fnmatch.h>
#include <glob.h>

#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "agent/ctl/install/toml_statements.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::ctl {
namespace {

using Key = std::vector<std::string>;

constexpr int kVersion = 3;
constexpr size_t kFilesMax = 64;
constexpr char kPlugin[] = "io.containerd.cri.v1.runtime";

std::string_view ValueOf(std::string_view text, const TomlStatement& statement) {
  return text.substr(statement.value_begin, statement.value_end - statement.value_begin);
}

// The last statement of a key, or null.
const TomlStatement* Find(const std::vector<TomlStatement>& statements, const Key& key) {
  const TomlStatement* found = nullptr;
  for (const TomlStatement& statement : statements) {
    if (statement.key == key) found = &statement;
  }
  return found;
}

std::string FindString(std::string_view text, const std::vector<TomlStatement>& statements,
                       const Key& key) {
  const TomlStatement* statement = Find(statements, key);
  return statement == nullptr ? "" : TomlString(ValueOf(text, *statement)).value_or("");
}

Result<std::vector<std::string>> StringsOf(std::string_view array) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<TomlElement> elements, TomlElements(array));
  std::vector<std::string> strings;
  for (const TomlElement& element : elements) {
    const std::string_view value = array.substr(element.begin, element.end - element.begin);
    std::optional<std::string> string = TomlString(value);
    if (!string) {
      return Status(Code::kInvalidArgument, "imports names " + std::string(value) + ", no string");
    }
    strings.push_back(*std::move(string));
  }
  return strings;
}

// Relative imports are relative to the file that names them.
std::string Absolute(const std::string& import, const std::string& config_path) {
  return (std::filesystem::path(config_path).parent_path() / import).lexically_normal();
}

std::vector<std::string> Glob(const std::string& pattern) {
  glob_t found = {};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  ::globfree(&found);
  return paths;
}

void Overlay(const ContainerdConfig& above, ContainerdConfig* config) {
  if (!above.runtime_program.empty()) config->runtime_program = above.runtime_program;
  if (above.systemd_cgroup) config->systemd_cgroup = above.systemd_cgroup;
  if (!above.default_runtime.empty()) config->default_runtime = above.default_runtime;
}

struct ReadFiles {
  std::string runtime;
  std::set<std::string> paths;
};

Result<ContainerdConfig> ReadWithImports(const std::string& path, ReadFiles* files) {
  files->paths.insert(path);
  const Result<std::string> text = ReadFile(path, kContainerdConfigBytesMax);
  if (text.status().code() == Code::kNotFound) return ParseContainerdConfig("");
  if (!text.ok()) return text.status();
  CRYOPOD_ASSIGN_OR_RETURN(ContainerdConfig config,
                           ParseContainerdConfig(*text, files->runtime).While(path));
  for (const std::string& import : config.imports) {
    for (const std::string& each : Glob(Absolute(import, path))) {
      if (files->paths.size() >= kFilesMax || files->paths.contains(each)) continue;
      CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig imported, ReadWithImports(each, files));
      Overlay(imported, &config);
    }
  }
  return config;
}

bool SaysNothing(std::string_view text) {
  for (const std::string_view line : SplitLines(text)) {
    const size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#') return false;
  }
  return true;
}

// Where the next line begins.
size_t LineAfter(std::string_view text, size_t at) {
  const size_t end = text.find('\n', at);
  return end == std::string_view::npos ? text.size() : end + 1;
}

std::string EndedLine(std::string text) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

Status WrongVersion(const std::optional<int>& version) {
  return Status(Code::kFailedPrecondition,
                (version ? "it is of version " + std::to_string(*version) : "it has no version") +
                    ", and containerd would drop its settings beside a drop-in of version 3; turn "
                    "it into version 3 with `containerd config migrate`, check the result, put it "
                    "in place and try again");
}

// In front of the others: of a one-line array on its line, else on a line of its own.
std::string InsertElement(const std::string& text, const TomlStatement& imports,
                          const std::vector<TomlElement>& elements, const std::string& path) {
  const size_t inside = imports.value_begin + 1;
  const size_t first = text.find_first_not_of(" \t\r", inside);
  std::string inserted = QuoteToml(path);
  if (first != std::string::npos && (text[first] == '\n' || text[first] == '#')) {
    inserted = "\n  " + inserted + ",";
  } else if (!elements.empty()) {
    inserted += ", ";
  }
  return text.substr(0, inside) + inserted + text.substr(inside);
}

// The element with the comma and the blanks that belong to it.
std::pair<size_t, size_t> SpanOf(const std::string& text, size_t begin, size_t end) {
  const size_t comma = text.find_first_not_of(" \t\r\n", end);
  if (comma != std::string::npos && text[comma] == ',') {
    end = comma + 1;
    // On a line of its own the line goes, up to a comment on it; else the blank behind the comma.
    const size_t before = text.find_last_not_of(" \t", begin - 1);
    const size_t next = text.find_first_not_of(" \t\r", end);
    const bool ends_line = next != std::string::npos && (text[next] == '\n' || text[next] == '#');
    if (text[before] == '\n' && ends_line) return {before, text[next] == '\n' ? next : end};
    if (next != std::string::npos && !ends_line) end = next;
    return {begin, end};
  }
  // The last one: the comma in front of it is one too many now.
  const size_t before = text.find_last_not_of(" \t\r\n", begin - 1);
  return {text[before] == ',' ? before : begin, end};
}

}  // namespace

Result<ContainerdConfig> ParseContainerdConfig(std::string_view text, const std::string& runtime) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<TomlStatement> statements, ScanToml(text));
  ContainerdConfig config;
  config.empty = SaysNothing(text);
  if (const TomlStatement* version = Find(statements, {"version"})) {
    int number = 0;
    if (!ParseNumber(ValueOf(text, *version), number)) {
      return Status(Code::kInvalidArgument, "its version is no number");
    }
    config.version = number;
  }
  if (const TomlStatement* imports = Find(statements, {"imports"})) {
    CRYOPOD_ASSIGN_OR_RETURN(config.imports, StringsOf(ValueOf(text, *imports)));
  }
  const Key containerd = {"plugins", kPlugin, "containerd"};
  const auto below = [&containerd](std::initializer_list<std::string> names) {
    Key key = containerd;
    key.insert(key.end(), names);
    return key;
  };
  config.default_runtime = FindString(text, statements, below({"default_runtime_name"}));
  config.runtime_program =
      FindString(text, statements, below({"runtimes", runtime, "options", "BinaryName"}));
  if (const TomlStatement* systemd =
          Find(statements, below({"runtimes", runtime, "options", "SystemdCgroup"}))) {
    config.systemd_cgroup = ValueOf(text, *systemd) == "true";
  }
  return config;
}

Result<ContainerdConfig> ReadContainerdConfig(const std::string& path) {
  ReadFiles files{"runc", {}};
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig config, ReadWithImports(path, &files));
  if (config.default_runtime.empty() || config.default_runtime == "runc" ||
      config.default_runtime == "cryopod") {
    return config;
  }
  files = {config.default_runtime, {}};
  return ReadWithImports(path, &files);
}

bool ImportNames(const std::string& import, const std::string& config_path,
                 const std::string& path) {
  return ::fnmatch(Absolute(import, config_path).c_str(), path.c_str(), FNM_PATHNAME) == 0;
}

Result<std::string> AddImport(const std::string& text, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig config, ParseContainerdConfig(text));
  const std::string line = "imports = [" + QuoteToml(path) + "]\n";
  if (config.empty) return EndedLine(text) + "version = 3\n" + line;
  if (config.version != kVersion) return WrongVersion(config.version);
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<TomlStatement> statements, ScanToml(text));
  if (const TomlStatement* imports = Find(statements, {"imports"})) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<TomlElement> elements,
                             TomlElements(ValueOf(text, *imports)));
    return InsertElement(text, *imports, elements, path);
  }
  const size_t at = LineAfter(text, Find(statements, {"version"})->value_end);
  return EndedLine(text.substr(0, at)) + line + text.substr(at);
}

Result<std::string> RemoveImport(const std::string& text, const std::string& path,
                                 bool drop_empty) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<TomlStatement> statements, ScanToml(text));
  const TomlStatement* imports = Find(statements, {"imports"});
  if (imports == nullptr) return text;
  const std::string value(ValueOf(text, *imports));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<TomlElement> elements, TomlElements(value));
  for (const TomlElement& element : elements) {
    if (TomlString(value.substr(element.begin, element.end - element.begin)) != path) continue;
    if (elements.size() == 1 && drop_empty) {
      return text.substr(0, imports->begin) + text.substr(LineAfter(text, imports->value_end));
    }
    const auto [begin, end] =
        SpanOf(text, imports->value_begin + element.begin, imports->value_begin + element.end);
    return text.substr(0, begin) + text.substr(end);
  }
  return text;
}

}  // namespace cryopod::ctl
