#include "agent/ctl/completion.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

#include "agent/os/text.h"

namespace cryopod::ctl {
namespace {

// zsh runs it too, through its bashcompinit. Options that take a value are skipped with it when the
// verb is looked for; readline hands "=" over as a word of its own, zsh leaves it where it stands.
// Nothing on offer means files.
constexpr std::string_view kFunction = R"(_cryopodctl() {
  local i word verb='' socket='' option='' inner='' options='' archives='' choices='' before=''
  local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --socket=*) socket=${word#*=} ;;
      @VALUED@)
        option=$word
        if [[ ${COMP_WORDS[i + 1]} == '=' ]]; then ((i += 1)); fi
        if ((i + 1 < COMP_CWORD)); then
          ((i += 1))
          option=''
          if [[ $word == --socket ]]; then socket=${COMP_WORDS[i]}; fi
        fi
        ;;
      *)
        case "$verb $word" in
@VERBS@        esac
        ;;
    esac
  done
  if [[ $current == '=' ]]; then
    current=''
  elif [[ $current == --*=* ]]; then
    option=${current%%=*} before="${current%%=*}=" current=${current#*=}
  fi
  case $verb in
@WORDS@  esac
  case $option in
    '')
      choices=$inner
      if [[ $current == -* ]]; then
        choices=$options
      elif [[ -n $archives ]]; then
        choices=$(timeout 3 "$program" ${socket:+--socket "$socket"} list 2>/dev/null |
          awk 'NR > 1 && NF == 0 { exit } NR > 1 { print $1 }')
      fi
      ;;
@VALUES@  esac
  COMPREPLY=($(compgen -P "$before" -W "$choices" -- "$current"))
}
complete -o default -F _cryopodctl cryopodctl
)";

// As a file of zsh's fpath it is run as a function of its own name, at the first completion only.
constexpr std::string_view kZshHead = R"(#compdef cryopodctl
autoload -U +X bashcompinit && bashcompinit
)";
constexpr std::string_view kZshTail = R"(if [[ ${funcstack[1]} == _cryopodctl ]]; then
  _bash_complete -o default -F _cryopodctl
fi
)";

void Replace(std::string_view mark, const std::string& text, std::string* script) {
  script->replace(script->find(mark), mark.size(), text);
}

std::string Quoted(const std::string& text) { return "'" + text + "'"; }

std::string Words(const std::set<std::string>& words, std::string_view separator = " ") {
  return Join({words.begin(), words.end()}, separator);
}

// What of a tree of commands stands in the script.
class Tree {
 public:
  explicit Tree(const CLI::App& root) : common_(OptionsOf(root)) { Add(root, ""); }

  std::string Fill(std::string_view frame) const {
    std::string script(frame);
    Replace("@VALUED@", Words(valued_, " | "), &script);
    Replace("@VERBS@", verbs_, &script);
    Replace("@WORDS@", words_, &script);
    Replace("@VALUES@", values_, &script);
    return script;
  }

 private:
  std::set<std::string> OptionsOf(const CLI::App& command) {
    std::set<std::string> names;
    for (const CLI::Option* option : command.get_options()) {
      std::vector<std::string> own;
      for (const std::string& name : option->get_lnames()) own.push_back("--" + name);
      for (const std::string& name : option->get_snames()) own.push_back("-" + name);
      names.insert(own.begin(), own.end());
      if (option->get_items_expected_max() == 0 || own.empty()) continue;
      valued_.insert(own.begin(), own.end());
      AddValues(Join(own, " | "), option->get_type_name());
    }
    return names;
  }

  // "FORMAT:{text,json}".
  void AddValues(const std::string& pattern, const std::string& type) {
    const size_t begin = type.find('{');
    if (begin == std::string::npos || values_.find(pattern + ")") != std::string::npos) return;
    std::string words = type.substr(begin + 1, type.find('}') - begin - 1);
    std::ranges::replace(words, ',', ' ');
    values_ += "    " + pattern + ") choices=" + Quoted(words) + " ;;\n";
  }

  static bool TakesArchive(const CLI::App& command) {
    const auto is_archive = [](const CLI::Option* option) {
      return option->get_name(/*positional=*/true) == "ARCHIVE";
    };
    return !command.get_options(is_archive).empty();
  }

  void Add(const CLI::App& command, const std::string& verb) {
    std::set<std::string> inner;
    for (const CLI::App* next : command.get_subcommands([](const CLI::App*) { return true; })) {
      const std::string& name = next->get_name();
      const std::string path = verb + (verb.empty() ? "" : " ") + name;
      std::string pattern = Quoted(verb + " " + name);
      for (const std::string& alias : next->get_aliases()) {
        pattern += " | " + Quoted(verb + " " + alias);
      }
      verbs_ += "          " + pattern + ") verb=" + Quoted(path) + " ;;\n";
      inner.insert(name);
      Add(*next, path);
    }
    std::set<std::string> options = OptionsOf(command);
    options.insert(common_.begin(), common_.end());
    words_ += "    " + Quoted(verb) + ") inner=" + Quoted(Words(inner)) +
              " options=" + Quoted(Words(options)) + (TakesArchive(command) ? " archives=1" : "") +
              " ;;\n";
  }

  std::set<std::string> valued_;  // options that take a value
  std::string values_;            // cases: what an option may be given
  std::string verbs_;             // cases: which verb a word makes of the one before it
  std::string words_;             // cases: what may follow a verb
  std::set<std::string> common_;  // options of every verb
};

}  // namespace

std::string CompletionScript(const CLI::App& root, const std::string& shell) {
  const std::string script = Tree(root).Fill(kFunction);
  return shell == "zsh" ? std::string(kZshHead).append(script).append(kZshTail) : script;
}

}  // namespace cryopod::ctl
