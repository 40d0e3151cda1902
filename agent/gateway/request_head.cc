#include "agent/gateway/request_head.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <utility>

namespace cryopod::gateway {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char byte) {
    return std::isalnum(byte) != 0 || kTokenMarks.find(static_cast<char>(byte)) != kTokenMarks.npos;
  });
}

bool IsText(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char byte) {
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
  });
}

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// One line without its end; nothing when there is no further one.
bool TakeLine(std::string_view& rest, std::string_view& line) {
  const size_t end = rest.find(kLineEnd);
  if (end == rest.npos) return false;
  line = rest.substr(0, end);
  rest.remove_prefix(end + kLineEnd.size());
  return true;
}

// 0, or the status with which it is refused.
int ParseRequestLine(std::string_view line, RequestHead& head) {
  if (!IsText(line)) return 400;
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == line.npos || first == last) return 400;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!IsToken(method) || target.empty() || target.find_first_of(" \t") != target.npos) return 400;
  if (!version.starts_with("HTTP/")) return 400;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return 505;
  head.bodiless_answer = method == "HEAD";
  head.text = head.bodiless_answer ? "GET" : method;
  head.text.append(line.substr(first)).append(kLineEnd);
  return 0;
}

int ParseContentLength(std::string_view value, RequestHead& head) {
  if (value.empty() || value.find_first_not_of("0123456789") != value.npos) return 400;
  if (value.size() > std::numeric_limits<uint64_t>::digits10) return 413;
  std::from_chars(value.data(), value.data() + value.size(), head.body_bytes);
  return 0;
}

// What was in a head already, of that which may be in it once.
struct Seen {
  bool host = false;
  bool length = false;
};

int ParseHeader(std::string_view line, RequestHead& head, Seen& seen) {
  const size_t colon = line.find(':');
  if (colon == line.npos || !IsToken(line.substr(0, colon)) || !IsText(line)) return 400;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trim(line.substr(colon + 1));
  if (EqualIgnoringCase(name, "connection")) return 0;
  if (EqualIgnoringCase(name, "host")) {
    if (std::exchange(seen.host, true)) return 400;
  } else if (EqualIgnoringCase(name, "content-length")) {
    if (std::exchange(seen.length, true)) return 400;
    if (const int refused = ParseContentLength(value, head); refused != 0) return refused;
  } else if (EqualIgnoringCase(name, "transfer-encoding")) {
    return 411;
  } else if (EqualIgnoringCase(name, "expect")) {
    head.expects_continue = EqualIgnoringCase(value, "100-continue");
  }
  head.text.append(line).append(kLineEnd);
  return 0;
}

int ParseLines(std::string_view text, RequestHead& head) {
  std::string_view line;
  if (!TakeLine(text, line)) return 400;
  if (const int refused = ParseRequestLine(line, head); refused != 0) return refused;
  const bool needs_host = line.ends_with("1.1");
  Seen seen;
  for (size_t count = 0; TakeLine(text, line) && !line.empty(); ++count) {
    if (count == kHeaderCountMax) return 431;
    if (const int refused = ParseHeader(line, head, seen); refused != 0) return refused;
  }
  head.text += "Connection: close\r\n\r\n";
  return needs_host && !seen.host ? 400 : 0;
}

// Of a head that is not whole: whether it can still become one.
int JudgeBeginning(std::string_view bytes) {
  const bool wrong = std::any_of(bytes.begin(), bytes.end(), [](unsigned char byte) {
    return byte == 0x7f || (byte < 0x20 && byte != '\r' && byte != '\n' && byte != '\t');
  });
  if (wrong) return 400;
  const std::string_view line = bytes.substr(0, bytes.find(kLineEnd));
  const size_t space = line.find(' ');
  if (space == line.npos) return line.size() > 32 ? 400 : 0;
  if (!IsToken(line.substr(0, space))) return 400;
  return bytes.size() >= kHeadBytesMax ? 431 : 0;
}

}  // namespace

RequestHead ParseRequestHead(std::string_view bytes) {
  static constexpr std::string_view kHeadEnd = "\r\n\r\n";
  RequestHead head;
  // Some clients send an empty line after a request.
  size_t skipped = 0;
  while (skipped < 4 && bytes.substr(skipped).starts_with(kLineEnd)) skipped += kLineEnd.size();
  const std::string_view text = bytes.substr(skipped);
  const size_t end = text.substr(0, kHeadBytesMax).find(kHeadEnd);
  if (end == text.npos) {
    head.http_status = JudgeBeginning(text);
    return head;
  }
  head.complete = true;
  head.size_bytes = skipped + end + kHeadEnd.size();
  head.http_status = ParseLines(text.substr(0, end + kHeadEnd.size()), head);
  return head;
}

std::string_view ReasonPhrase(int http_status) {
  static constexpr std::array<std::pair<int, std::string_view>, 8> kPhrases = {{
      {400, "Bad Request"},
      {408, "Request Timeout"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {431, "Request Header Fields Too Large"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
  }};
  for (const auto& [code, phrase] : kPhrases) {
    if (code == http_status) return phrase;
  }
  return "";
}

}  // namespace cryopod::gateway
