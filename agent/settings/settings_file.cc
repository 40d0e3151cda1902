#include "agent/settings/settings_file.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agent/os/text.h"

namespace cryopod::settings {
namespace {

constexpr char kBlanks[] = " \t\r";

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool IsName(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}

Status Invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

bool IsEnd(std::string_view rest) {
  rest = Trim(rest);
  return rest.empty() || rest.front() == '#';
}

// "\n" of a basic string. Returns '\0' for an escape that is not known.
char Unescaped(char letter) {
  switch (letter) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case '"':
    case '\\':
      return letter;
    default:
      return '\0';
  }
}

// `text` starts with a quote.
Result<std::string> ReadString(std::string_view text) {
  const char quote = text.front();
  std::string value;
  for (size_t i = 1; i < text.size(); ++i) {
    char byte = text[i];
    if (byte == quote) {
      if (!IsEnd(text.substr(i + 1))) return Invalid("something follows the string");
      return value;
    }
    if (static_cast<unsigned char>(byte) < 0x20 && byte != '\t') {
      return Invalid("the string holds a control character");
    }
    if (byte == '\\' && quote == '"') {
      byte = i + 1 < text.size() ? Unescaped(text[++i]) : '\0';
      if (byte == '\0')
        return Invalid("the string holds an unknown escape; \\\\ means a backslash");
    }
    value += byte;
  }
  return Invalid("the string does not end");
}

Status ReadValue(std::string_view text, Entry& entry) {
  entry.quoted = !text.empty() && (text.front() == '"' || text.front() == '\'');
  if (entry.quoted) {
    CRYOPOD_ASSIGN_OR_RETURN(entry.value, ReadString(text));
    return Status();
  }
  const std::string_view word = Trim(text.substr(0, text.find('#')));
  if (word.empty()) return Invalid("it has no value");
  if (!IsName(word)) return Invalid("a value is a number, true, false, or a text in quotes");
  entry.value = word;
  return Status();
}

class Parser {
 public:
  Status Take(std::string_view line, size_t number) {
    line = Trim(line);
    if (IsEnd(line)) return Status();
    if (line.front() == '[') return TakeSection(line);
    const size_t equals = line.find('=');
    const std::string key(Trim(line.substr(0, equals)));
    if (equals == std::string_view::npos || !IsName(key)) {
      return Invalid("neither \"[section]\" nor \"key = value\"");
    }
    if (section_.empty()) return Invalid(key + " stands before any [section]");
    if (!keys_.insert(key).second) return Invalid(key + " is given twice");
    Entry entry{section_, key, "", false, number};
    CRYOPOD_RETURN_IF_ERROR(ReadValue(Trim(line.substr(equals + 1)), entry).While(key));
    entries_.push_back(std::move(entry));
    return Status();
  }

  std::vector<Entry> Entries() && { return std::move(entries_); }

 private:
  Status TakeSection(std::string_view line) {
    const size_t end = line.find(']');
    const std::string name(Trim(line.substr(1, end == std::string_view::npos ? 0 : end - 1)));
    if (!IsName(name) || !IsEnd(line.substr(end + 1))) return Invalid("not a \"[section]\"");
    if (!sections_.insert(name).second) return Invalid("section " + name + " is given twice");
    section_ = name;
    keys_.clear();
    return Status();
  }

  std::string section_;
  std::set<std::string> sections_;
  std::set<std::string> keys_;  // of section_
  std::vector<Entry> entries_;
};

}  // namespace

Result<std::vector<Entry>> ParseSettings(std::string_view text, const std::string& name) {
  Parser parser;
  size_t number = 0;
  for (const std::string_view line : SplitLines(text)) {
    ++number;
    const Status taken = parser.Take(line, number);
    if (!taken.ok()) return taken.While(name + ":" + std::to_string(number));
  }
  return std::move(parser).Entries();
}

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char byte : text) {
    if (byte == '\n') {
      quoted += "\\n";
    } else {
      if (byte == '"' || byte == '\\') quoted += '\\';
      quoted += byte;
    }
  }
  return quoted + '"';
}

}  // namespace cryopod::settings
