#include "restore/runtime/arguments.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/os/text.h"

namespace cryopod::wrapper {
namespace {

// Names of options, parted by blanks.
constexpr std::string_view kGlobalsWithValue = "root log log-format criu rootless";
constexpr std::string_view kGlobalFlags = "systemd-cgroup debug help h version v";
constexpr std::string_view kCreateWithValue =
    "bundle b console-socket pidfd-socket pid-file preserve-fds";
// The second half is of `run` alone.
constexpr std::string_view kCreateFlags = "no-pivot no-new-keyring detach d keep no-subreaper";
constexpr std::string_view kExecWithValue =
    "console-socket pidfd-socket cwd env e user u additional-gids g process p pid-file "
    "process-label apparmor cap c preserve-fds cgroup";
constexpr std::string_view kExecFlags = "tty t detach d no-new-privs ignore-paused";
constexpr std::string_view kCheckpointWithValue =
    "image-path work-path parent-path status-fd page-server manage-cgroups-mode empty-ns";
constexpr std::string_view kCheckpointFlags =
    "leave-running tcp-established tcp-skip-in-flight link-remap ext-unix-sk shell-job lazy-pages "
    "file-locks pre-dump auto-dedup";

struct Subcommand {
  std::string_view name;
  std::string_view with_value = {};
  std::string_view flags = {};
  bool options_end_at_first_argument = false;
};

// Only the subcommands whose options the wrapper looks at are described; of the others the names
// matter, because an unknown global option in front of them has no value.
constexpr Subcommand kSubcommands[] = {
    {"create", kCreateWithValue, kCreateFlags},
    {"run", kCreateWithValue, kCreateFlags},
    {"start"},
    {"delete", "", "force f"},
    {"kill", "", "all a"},
    {"exec", kExecWithValue, kExecFlags, true},
    {"pause"},
    {"checkpoint", kCheckpointWithValue, kCheckpointFlags},
    {"resume"},
    {"restore"},
    {"state"},
    {"list"},
    {"ps"},
    {"events"},
    {"update"},
    {"spec"},
    {"features"},
    {"init"},
    {"help"},
};

bool Lists(std::string_view names, std::string_view name) {
  return std::ranges::count(SplitWords(names), name) > 0;
}

const Subcommand* FindSubcommand(std::string_view name) {
  const auto* const found = std::ranges::find(kSubcommands, name, &Subcommand::name);
  return found == std::end(kSubcommands) ? nullptr : found;
}

// One option as it stands in the command line.
struct Given {
  std::string name;
  std::optional<std::string> value;
};

bool IsOption(const std::string& argument) { return argument.size() > 1 && argument[0] == '-'; }

Given ReadOption(const std::string& argument) {
  const size_t dashes = argument.starts_with("--") ? 2 : 1;
  const size_t equals = argument.find('=', dashes);
  if (equals == std::string::npos) return {argument.substr(dashes), std::nullopt};
  return {argument.substr(dashes, equals - dashes), argument.substr(equals + 1)};
}

void ApplyGlobal(const Given& given, Arguments& arguments) {
  const std::string value = given.value.value_or("");
  if (given.name == "root") arguments.root = value;
  if (given.name == "log") arguments.log = value;
  if (given.name == "log-format") arguments.log_format = value;
}

bool IsSet(const Given& flag) { return !flag.value || Lists("1 t T TRUE true True", *flag.value); }

void ApplyOwn(const Given& given, Arguments& arguments) {
  const std::string value = given.value.value_or("");
  if (given.name == "bundle" || given.name == "b") arguments.bundle = value;
  if (given.name == "pid-file") arguments.pid_file = value;
  if (given.name == "console-socket") arguments.console_socket = value;
  if (given.name == "no-pivot") arguments.no_pivot = IsSet(given);
  if (given.name == "detach" || given.name == "d") arguments.detach = IsSet(given);
}

// Takes the value from the next argument where the option has one and did not bring it along.
void TakeValue(const std::vector<std::string>& all, size_t& index, Given& given) {
  if (!given.value && index + 1 < all.size()) given.value = all[++index];
}

// Returns the index of the subcommand, or all.size().
size_t ParseGlobals(Arguments& arguments) {
  const std::vector<std::string>& all = arguments.all;
  size_t index = 0;
  for (; index < all.size() && IsOption(all[index]); ++index) {
    if (all[index] == "--") return index + 1;
    Given given = ReadOption(all[index]);
    const bool is_unknown_with_value = !Lists(kGlobalFlags, given.name) && index + 1 < all.size() &&
                                       !IsOption(all[index + 1]) &&
                                       FindSubcommand(all[index + 1]) == nullptr;
    if (is_unknown_with_value || Lists(kGlobalsWithValue, given.name)) {
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
    Given given = ReadOption(all[index]);
    if (Lists(subcommand.with_value, given.name)) {
      TakeValue(all, index, given);
    } else if (!Lists(subcommand.flags, given.name)) {
      arguments.unknown_options.push_back(all[index]);
      continue;
    }
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
