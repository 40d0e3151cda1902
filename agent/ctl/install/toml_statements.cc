#include "agent/ctl/install/toml_statements.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace cryopod::ctl {
namespace {

constexpr int kNestingMax = 32;
constexpr size_t kNone = std::string_view::npos;

bool IsBlank(char byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }

bool IsBareKeyByte(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
}

void AppendUtf8(unsigned code, std::string* out) {
  const auto add = [out](unsigned byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      add(0xe0 | code >> 12);
    } else {
      add(0xf0 | (code >> 18 & 7));
      add(0x80 | (code >> 12 & 0x3f));
    }
    add(0x80 | (code >> 6 & 0x3f));
  }
  add(0x80 | (code & 0x3f));
}

// The escape that begins behind a backslash at `at`; moves `at` past it.
std::optional<std::string> Unescape(std::string_view text, size_t& at) {
  static constexpr std::pair<char, char> kShort[] = {
      {'b', '\b'}, {'t', '\t'}, {'n', '\n'}, {'f', '\f'}, {'r', '\r'}, {'"', '"'}, {'\\', '\\'}};
  const char kind = text[at++];
  for (const auto& [letter, byte] : kShort) {
    if (kind == letter) return std::string(1, byte);
  }
  if (kind == 'u' || kind == 'U') {
    const size_t digits = kind == 'u' ? 4 : 8;
    if (text.size() - at < digits) return std::nullopt;
    unsigned code = 0;
    for (const size_t end = at + digits; at < end; ++at) {
      const size_t digit = std::string_view("0123456789abcdef")
                               .find(static_cast<char>(
                                   text[at] >= 'A' && text[at] <= 'F' ? text[at] + 32 : text[at]));
      if (digit == kNone) return std::nullopt;
      code = code * 16 + static_cast<unsigned>(digit);
    }
    std::string bytes;
    AppendUtf8(code, &bytes);
    return bytes;
  }
  // A backslash at the end of a line takes the white space behind it away.
  --at;
  const size_t next = std::min(text.find_first_not_of(" \t\r\n", at), text.size());
  if (text.substr(at, next - at).find('\n') == kNone) return std::nullopt;
  at = next;
  return std::string();
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Result<std::vector<TomlStatement>> Scan() {
    std::vector<std::string> table;
    for (SkipToStatement(); at_ < text_.size(); SkipToStatement()) {
      if (text_[at_] == '[') {
        CRYOPOD_ASSIGN_OR_RETURN(table, Header());
      } else {
        CRYOPOD_RETURN_IF_ERROR(Statement(table, 0));
      }
      CRYOPOD_RETURN_IF_ERROR(EndOfLine());
    }
    return std::move(statements_);
  }

  // `text` is one array.
  Result<std::vector<TomlElement>> Elements() {
    std::vector<TomlElement> elements;
    if (!Take('[')) return Error("an array is expected");
    for (SkipToStatement(); !Take(']'); SkipToStatement()) {
      const size_t begin = at_;
      CRYOPOD_RETURN_IF_ERROR(Value({}, 0));
      elements.push_back({begin, at_});
      SkipToStatement();
      if (!Take(',') && Peek() != ']') return Error("a comma is missing");
    }
    return elements;
  }

 private:
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool Take(char byte) {
    if (Peek() != byte || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  void SkipBlanks() {
    while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
  }
  void SkipComment() {
    if (Peek() == '#') at_ = std::min(text_.find('\n', at_), text_.size());
  }
  void SkipToStatement() {
    do {
      SkipBlanks();
      SkipComment();
    } while (Take('\n'));
  }

  Status Error(const std::string& reason) const {
    const auto lines = std::count(text_.begin(), text_.begin() + static_cast<long>(at_), '\n');
    return Status(Code::kInvalidArgument, "line " + std::to_string(lines + 1) + ": " + reason);
  }

  Status EndOfLine() {
    SkipBlanks();
    SkipComment();
    return at_ >= text_.size() || Take('\n') ? Status() : Error("the line does not end here");
  }

  Result<std::vector<std::string>> Header() {
    const bool is_array = Peek(1) == '[';
    at_ += is_array ? 2 : 1;
    CRYOPOD_ASSIGN_OR_RETURN(std::vector<std::string> key, Key());
    if (!Take(']') || (is_array && !Take(']'))) return Error("the table's name does not end");
    return key;
  }

  // Parts between dots.
  Result<std::vector<std::string>> Key() {
    std::vector<std::string> key;
    do {
      SkipBlanks();
      const size_t begin = at_;
      if (Peek() == '"' || Peek() == '\'') {
        CRYOPOD_RETURN_IF_ERROR(String());
        key.push_back(TomlString(text_.substr(begin, at_ - begin)).value_or(""));
      } else {
        while (at_ < text_.size() && IsBareKeyByte(text_[at_])) ++at_;
        if (at_ == begin) return Error("a name is missing");
        key.emplace_back(text_.substr(begin, at_ - begin));
      }
      SkipBlanks();
    } while (Take('.'));
    return key;
  }

  Status Statement(const std::vector<std::string>& table, int depth) {
    TomlStatement statement;
    statement.begin = at_;
    statement.key = table;
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> key, Key());
    statement.key.insert(statement.key.end(), key.begin(), key.end());
    if (!Take('=')) return Error("\"=\" is missing");
    SkipBlanks();
    statement.value_begin = at_;
    const size_t place = statements_.size();
    statements_.push_back(statement);
    CRYOPOD_RETURN_IF_ERROR(Value(statement.key, depth));
    statements_[place].value_end = at_;
    return Status();
  }

  // Moves past a value; statements of inline tables are kept under `key`.
  Status Value(const std::vector<std::string>& key, int depth) {
    if (depth > kNestingMax) return Error("it is nested too deeply");
    switch (Peek()) {
      case '"':
      case '\'':
        return String();
      case '[':
        return Array(depth);
      case '{':
        return InlineTable(key, depth);
      default:
        break;
    }
    const size_t begin = at_;
    at_ = std::min(text_.find_first_of(" \t\r\n,]}#", at_), text_.size());
    return at_ > begin ? Status() : Error("a value is missing");
  }

  Status String() {
    const char quote = Peek();
    const std::string three(3, quote);
    const bool is_long = text_.substr(at_, 3) == three;
    at_ += is_long ? 3 : 1;
    while (at_ < text_.size()) {
      if (quote == '"' && text_[at_] == '\\') {
        at_ += 2;
      } else if (is_long && text_.substr(at_, 3) == three) {
        at_ += 3;
        // Up to two quotes may stand before the three that end it.
        while (Take(quote)) {
        }
        return Status();
      } else if (!is_long && text_[at_] == '\n') {
        break;
      } else if (text_[at_++] == quote && !is_long) {
        return Status();
      }
    }
    at_ = std::min(at_, text_.size());
    return Error("a string does not end");
  }

  Status Array(int depth) {
    ++at_;
    for (SkipToStatement(); !Take(']'); SkipToStatement()) {
      if (at_ >= text_.size()) return Error("an array does not end");
      CRYOPOD_RETURN_IF_ERROR(Value({}, depth + 1));
      SkipToStatement();
      if (!Take(',') && Peek() != ']') return Error("a comma is missing");
    }
    return Status();
  }

  Status InlineTable(const std::vector<std::string>& key, int depth) {
    ++at_;
    for (SkipBlanks(); !Take('}'); SkipBlanks()) {
      CRYOPOD_RETURN_IF_ERROR(Statement(key, depth + 1));
      SkipBlanks();
      if (!Take(',') && Peek() != '}') return Error("a comma is missing");
    }
    return Status();
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<TomlStatement> statements_;
};

}  // namespace

Result<std::vector<TomlStatement>> ScanToml(std::string_view text) { return Scanner(text).Scan(); }

Result<std::vector<TomlElement>> TomlElements(std::string_view value) {
  return Scanner(value).Elements();
}

std::optional<std::string> TomlString(std::string_view value) {
  if (value.size() < 2 || (value[0] != '"' && value[0] != '\'')) return std::nullopt;
  const bool is_basic = value[0] == '"';
  const bool is_long = value.size() >= 6 && value.substr(0, 3) == std::string(3, value[0]);
  const size_t quotes = is_long ? 3 : 1;
  if (value.substr(value.size() - quotes) != value.substr(0, quotes)) return std::nullopt;
  value = value.substr(quotes, value.size() - 2 * quotes);
  if (is_long && value.starts_with("\r\n")) value.remove_prefix(1);
  if (is_long && value.starts_with('\n')) value.remove_prefix(1);
  std::string text;
  for (size_t at = 0; at < value.size();) {
    if (!is_basic || value[at] != '\\') {
      text.push_back(value[at++]);
      continue;
    }
    if (++at >= value.size()) return std::nullopt;
    const std::optional<std::string> bytes = Unescape(value, at);
    if (!bytes) return std::nullopt;
    text += *bytes;
  }
  return text;
}

std::string QuoteToml(std::string_view text) {
  std::string quoted = "\"";
  for (const char byte : text) {
    char escape[8];
    if (byte == '"' || byte == '\\') {
      quoted += {'\\', byte};
    } else if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f) {
      std::snprintf(escape, sizeof escape, "\\u%04X", static_cast<unsigned>(byte));
      quoted += escape;
    } else {
      quoted += byte;
    }
  }
  return quoted + "\"";
}

}  // namespace cryopod::ctl
