#include "restore/runtime/arguments.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

namespace cryopod::wrapper {
namespace {

struct Option {
  std::string_view name;
  bool takes_value;
};

struct Subcommand {
  std::string_view name;
  bool options_end_at_first_argument;
  std::vector<Option> options;
};

const std::vector<Option>& GlobalOptions() {
  static const std::vector<Option> options = {
      {"root", true},     {"log", true},      {"log-format", true},
      {"criu", true},     {"rootless", true}, {"systemd-cgroup", false},
      {"debug", false},   {"help", false},    {"h", false},
      {"version", false}, {"v", false},
  };
  return options;
}

const std::vector<Option>& CreateOptions() {
  static const std::vector<Option> options = {
      {"bundle", true},
      {"b", true},
      {"console-socket", true},
      {"pidfd-socket", true},
      {"pid-file", true},
      {"no-pivot", false},
      {"no-new-keyring", false},
      {"preserve-fds", true},
      // Of `run` alone.
      {"detach", false},
      {"d", false},
      {"keep", false},
      {"no-subreaper", false},
  };
  return options;
}

const std::vector<Option>& ExecOptions() {
  static const std::vector<Option> options = {{"console-socket", true},
                                              {"pidfd-socket", true},
                                              {"cwd", true},
                                              {"env", true},
                                              {"e", true},
                                              {"tty", false},
                                              {"t", false},
                                              {"user", true},
                                              {"u", true},
                                              {"additional-gids", true},
                                              {"g", true},
                                              {"process", true},
                                              {"p", true},
                                              {"detach", false},
                                              {"d", false},
                                              {"pid-file", true},
                                              {"process-label", true},
                                              {"apparmor", true},
                                              {"no-new-privs", false},
                                              {"cap", true},
                                              {"c", true},
                                              {"preserve-fds", true},
                                              {"cgroup", true},
                                              {"ignore-paused", false}};
  return options;
}

const std::vector<Option>& CheckpointOptions() {
  static const std::vector<Option> options = {
      {"image-path", true},     {"work-path", true},        {"parent-path", true},
      {"leave-running", false}, {"tcp-established", false}, {"tcp-skip-in-flight", false},
      {"link-remap", false},    {"ext-unix-sk", false},     {"shell-job", false},
      {"lazy-pages", false},    {"status-fd", true},        {"page-server", true},
      {"file-locks", false},    {"pre-dump", false},        {"manage-cgroups-mode", true},
      {"empty-ns", true},       {"auto-dedup", false}};
  return options;
}

// Only the subcommands whose options the wrapper looks at are described; of the others the names
// matter, because an unknown global option in front of them has no value.
const std::vector<Subcommand>& Subcommands() {
  static const std::vector<Subcommand> subcommands = {
      {"create", false, CreateOptions()},
      {"run", false, CreateOptions()},
      {"start", false, {}},
      {"delete", false, {{"force", false}, {"f", false}}},
      {"kill", false, {{"all", false}, {"a", false}}},
      {"exec", true, ExecOptions()},
      {"pause", false, {}},
      {"checkpoint", false, CheckpointOptions()},
      {"resume", false, {}},
      {"restore", false, {}},
      {"state", false, {}},
      {"list", false, {}},
      {"ps", false, {}},
      {"events", false, {}},
      {"update", false, {}},
      {"spec", false, {}},
      {"features", false, {}},
      {"init", false, {}},
      {"help", false, {}},
  };
  return subcommands;
}

const Subcommand* FindSubcommand(const std::string& name) {
  for (const Subcommand& subcommand : Subcommands()) {
    if (subcommand.name == name) return &subcommand;
  }
  return nullptr;
}

const Option* FindOption(const std::vector<Option>& options, std::string_view name) {
  for (const Option& option : options) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

// One option as it stands in the command line.
struct Given {
  std::string name;
  std::string value;
  bool has_value = false;
};

bool IsOption(const std::string& argument) { return argument.size() > 1 && argument[0] == '-'; }

Given Split(const std::string& argument) {
  const size_t dashes = argument.starts_with("--") ? 2 : 1;
  const size_t equals = argument.find('=', dashes);
  if (equals == std::string::npos) return {argument.substr(dashes), "", false};
  return {argument.substr(dashes, equals - dashes), argument.substr(equals + 1), true};
}

bool IsTrue(const Given& given) {
  if (!given.has_value) return true;
  static constexpr std::string_view words[] = {"1", "t", "T", "TRUE", "true", "True"};
  return std::find(std::begin(words), std::end(words), given.value) != std::end(words);
}

void ApplyGlobal(const Given& given, Arguments& arguments) {
  if (given.name == "root") arguments.root = given.value;
  if (given.name == "log") arguments.log = given.value;
  if (given.name == "log-format") arguments.log_format = given.value;
  if (given.name == "systemd-cgroup") arguments.systemd_cgroup = IsTrue(given);
}

void ApplyOwn(const Given& given, Arguments& arguments) {
  if (given.name == "bundle" || given.name == "b") arguments.bundle = given.value;
  if (given.name == "pid-file") arguments.pid_file = given.value;
  if (given.name == "console-socket") arguments.console_socket = given.value;
  if (given.name == "no-pivot") arguments.no_pivot = IsTrue(given);
}

// Takes the value from the next argument where the option has one and did not bring it along.
void TakeValue(const std::vector<std::string>& all, size_t& index, Given& given) {
  if (given.has_value || index + 1 >= all.size()) return;
  given.value = all[++index];
  given.has_value = true;
}

// Returns the index of the subcommand, or all.size().
size_t ParseGlobals(Arguments& arguments) {
  const std::vector<std::string>& all = arguments.all;
  size_t index = 0;
  for (; index < all.size() && IsOption(all[index]); ++index) {
    if (all[index] == "--") return index + 1;
    Given given = Split(all[index]);
    const Option* option = FindOption(GlobalOptions(), given.name);
    const bool unknown_with_value = option == nullptr && index + 1 < all.size() &&
                                    !IsOption(all[index + 1]) &&
                                    FindSubcommand(all[index + 1]) == nullptr;
    if (unknown_with_value || (option != nullptr && option->takes_value)) {
      TakeValue(all, index, given);
    }
    ApplyGlobal(given, arguments);
  }
  return index;
}

void ParseOwn(const Subcommand& subcommand, size_t index, Arguments& arguments) {
  const std::vector<std::string>& all = arguments.all;
  for (; index < all.size(); ++index) {
    if (!IsOption(all[index]) || all[index] == "--") {
      if (all[index] == "--") ++index;
      if (arguments.id.empty() && index < all.size()) arguments.id = all[index];
      if (subcommand.options_end_at_first_argument) return;
      continue;
    }
    Given given = Split(all[index]);
    const Option* option = FindOption(subcommand.options, given.name);
    if (option == nullptr) {
      arguments.unknown_options.push_back(all[index]);
      continue;
    }
    if (option->takes_value) TakeValue(all, index, given);
    ApplyOwn(given, arguments);
  }
}

}  // namespace

Arguments ParseArguments(std::vector<std::string> all) {
  Arguments arguments;
  arguments.all = std::move(all);
  const size_t index = std::min(ParseGlobals(arguments), arguments.all.size());
  arguments.globals.assign(arguments.all.begin(),
                           arguments.all.begin() + static_cast<std::ptrdiff_t>(index));
  if (index == arguments.all.size()) return arguments;
  arguments.subcommand = arguments.all[index];
  const Subcommand* subcommand = FindSubcommand(arguments.subcommand);
  if (subcommand != nullptr) ParseOwn(*subcommand, index + 1, arguments);
  return arguments;
}

}  // namespace cryopod::wrapper
