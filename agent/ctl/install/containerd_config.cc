#include "agent/ctl/install/containerd_config.h"

#include <fnmatch.h>
#include <glob.h>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "agent/os/file.h"
#include "agent/settings/settings_file.h"

namespace cryopod::ctl {
namespace {

constexpr int64_t kVersion = 3;
constexpr size_t kFilesMax = 64;
constexpr char kPlugin[] = "io.containerd.cri.v1.runtime";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

Result<toml::table> ParseToml(std::string_view text) {
  toml::parse_result parsed = toml::parse(text);
  if (parsed) return std::move(parsed).table();
  return Status(Code::kInvalidArgument, "line " +
                                            std::to_string(parsed.error().source().begin.line) +
                                            ": " + std::string(parsed.error().description()));
}

Result<std::vector<std::string>> StringsOf(const toml::node& imports) {
  const toml::array* elements = imports.as_array();
  if (elements == nullptr) return Status(Code::kInvalidArgument, "its imports are no array");
  std::vector<std::string> strings;
  for (const toml::node& element : *elements) {
    if (!element.is_string()) {
      return Status(Code::kInvalidArgument, "its imports hold what is no string");
    }
    strings.push_back(element.ref<std::string>());
  }
  return strings;
}

// What concerns the file itself.
Result<ContainerdConfig> HeadOf(const toml::table& file) {
  ContainerdConfig config;
  config.empty = file.empty();
  if (const toml::node* version = file.get("version")) {
    if (!version->is_integer()) return Status(Code::kInvalidArgument, "its version is no number");
    config.version = version->ref<int64_t>();
  }
  if (const toml::node* imports = file.get("imports")) {
    CRYOPOD_ASSIGN_OR_RETURN(config.imports, StringsOf(*imports));
  }
  return config;
}

// What the file is silent about stays as it is.
void Overlay(const toml::table& file, const std::string& runtime, ContainerdConfig* config) {
  const auto containerd = file["plugins"][kPlugin]["containerd"];
  const auto options = containerd["runtimes"][runtime]["options"];
  config->default_runtime = containerd["default_runtime_name"].value_or(config->default_runtime);
  config->runtime_program = options["BinaryName"].value_or(config->runtime_program);
  if (const auto systemd = options["SystemdCgroup"].value<bool>()) config->systemd_cgroup = systemd;
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

// The file and, behind it, all that it imports.
Status ReadWithImports(const std::string& path, std::set<std::string>& paths,
                       std::vector<toml::table>& files) {
  paths.insert(path);
  const Result<std::string> text = ReadFile(path, kContainerdConfigBytesMax);
  if (!text.ok() && text.status().code() != Code::kNotFound) return text.status();
  CRYOPOD_ASSIGN_OR_RETURN(toml::table file, ParseToml(text.ok() ? *text : "").While(path));
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig head, HeadOf(file).While(path));
  files.push_back(std::move(file));
  for (const std::string& import : head.imports) {
    for (const std::string& each : Glob(Absolute(import, path))) {
      if (paths.size() >= kFilesMax || paths.contains(each)) continue;
      CRYOPOD_RETURN_IF_ERROR(ReadWithImports(each, paths, files));
    }
  }
  return Status();
}

Status WrongVersion(const std::optional<int64_t>& version) {
  return Status(Code::kFailedPrecondition,
                (version ? "it is of version " + std::to_string(*version) : "it has no version") +
                    ", and containerd would drop its settings beside a drop-in of version 3; turn "
                    "it into version 3 with `containerd config migrate`, check the result, put it "
                    "in place and try again");
}

// The byte of a position, whose columns are characters.
size_t OffsetOf(std::string_view text, const toml::source_position& position) {
  size_t at = 0;
  for (auto line = position.line; line > 1; --line) at = text.find('\n', at) + 1;
  if (at == 0 && text.starts_with(kByteOrderMark)) at = kByteOrderMark.size();
  for (auto column = position.column; column > 1; --column) {
    ++at;
    while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;
  }
  return at;
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

// In front of the others: of a one-line array on its line, else on a line of its own.
std::string InsertElement(const std::string& text, const toml::node& imports,
                          const std::string& element) {
  const size_t inside = OffsetOf(text, imports.source().begin) + 1;
  const size_t first = text.find_first_not_of(" \t\r", inside);
  std::string inserted = element;
  if (text[first] == '\n' || text[first] == '#') {
    inserted = (text[first - 1] == '\r' ? "\r\n  " : "\n  ") + element + ",";
  } else if (!imports.as_array()->empty()) {
    inserted += ", ";
  }
  return std::string(text).insert(inside, inserted);
}

// The text without the element and the comma and the blanks that belong to it. A bracket follows.
std::string DropElement(const std::string& text, size_t begin, size_t end) {
  const size_t comma = text.find_first_not_of(" \t\r\n", end);
  if (text[comma] == ',') {
    end = comma + 1;
    // On a line of its own the line goes, up to a comment on it; else the blank behind the comma.
    const size_t before = text.find_last_not_of(" \t", begin - 1);
    const size_t next = text.find_first_not_of(" \t\r", end);
    const bool ends_line = text[next] == '\n' || text[next] == '#';
    const bool has_line = ends_line && text[before] == '\n';
    if (has_line) begin = before;
    if (has_line ? text[next] == '\n' : !ends_line) end = next;
  } else {
    // The last one: the comma in front of it is one too many now.
    const size_t before = text.find_last_not_of(" \t\r\n", begin - 1);
    if (text[before] == ',') begin = before;
  }
  return std::string(text).erase(begin, end - begin);
}

}  // namespace

Result<ContainerdConfig> ReadContainerdConfig(const std::string& path) {
  std::set<std::string> paths;
  std::vector<toml::table> files;
  CRYOPOD_RETURN_IF_ERROR(ReadWithImports(path, paths, files));
  CRYOPOD_ASSIGN_OR_RETURN(ContainerdConfig config, HeadOf(files.front()));
  for (const toml::table& file : files) Overlay(file, "runc", &config);
  const std::string runtime = config.default_runtime;
  if (runtime.empty() || runtime == "runc" || runtime == "cryopod") return config;
  config.runtime_program.clear();
  config.systemd_cgroup.reset();
  for (const toml::table& file : files) Overlay(file, runtime, &config);
  return config;
}

Result<bool> Imports(const std::string& text, const std::string& config_path,
                     const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const toml::table file, ParseToml(text));
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig config, HeadOf(file));
  return std::ranges::any_of(config.imports, [&](const std::string& import) {
    return ::fnmatch(Absolute(import, config_path).c_str(), path.c_str(), FNM_PATHNAME) == 0;
  });
}

Result<std::string> AddImport(const std::string& text, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const toml::table table, ParseToml(text));
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig config, HeadOf(table));
  const std::string element = settings::Quote(path);
  const std::string line = "imports = [" + element + "]\n";
  if (config.empty) return EndedLine(text) + "version = 3\n" + line;
  if (config.version != kVersion) return WrongVersion(config.version);
  if (const toml::node* imports = table.get("imports")) {
    return InsertElement(text, *imports, element);
  }
  const size_t at = LineAfter(text, OffsetOf(text, table.get("version")->source().end));
  return EndedLine(text.substr(0, at)) + line + text.substr(at);
}

Result<std::string> RemoveImport(const std::string& text, const std::string& path,
                                 bool drop_empty) {
  CRYOPOD_ASSIGN_OR_RETURN(const toml::table table, ParseToml(text));
  const toml::array* imports = table["imports"].as_array();
  if (imports == nullptr) return text;
  const auto found = std::find_if(
      imports->begin(), imports->end(),
      [&path](const toml::node& import) { return import.value<std::string>() == path; });
  if (found == imports->end()) return text;
  if (imports->size() > 1 || !drop_empty) {
    return DropElement(text, OffsetOf(text, found->source().begin),
                       OffsetOf(text, found->source().end));
  }
  // The key stands on the line on which its value begins.
  const size_t begin = OffsetOf(text, {imports->source().begin.line, 1});
  const size_t end = LineAfter(text, OffsetOf(text, imports->source().end));
  return std::string(text).erase(begin, end - begin);
}

}  // namespace cryopod::ctl
