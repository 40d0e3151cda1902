#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cryopod::gateway {

// A request's head, all that the gateway takes: none of its paths has a use for a body.
inline constexpr size_t kHeadBytesMax = 8 << 10;
inline constexpr size_t kTargetBytesMax = 2 << 10;
inline constexpr size_t kHeaderCountMax = 64;

enum class Method { kGet, kHead, kOther };

struct RequestHead {
  Method method = Method::kOther;
  std::string path;   // as sent, up to the first '?'
  std::string query;  // without '?'
  bool keep_alive = false;
};

// What the first bytes of a connection, or those after the last request, are.
struct ParsedHead {
  // 0: a whole head, `size_bytes` of the input; else why it is refused.
  int http_status = 0;
  bool complete = false;  // otherwise more bytes are needed
  size_t size_bytes = 0;
  RequestHead head;
};

// Strict: CRLF only, no folded headers, no body. What is no HTTP is refused at its first wrong
// byte, and never more than kHeadBytesMax are asked for.
//
// Source  RFC 9112, sections 2, 3 and 5; 9110, section 15.5.
ParsedHead ParseRequestHead(std::string_view bytes);

// "Not Found"; "" for a code that the gateway does not use.
std::string_view ReasonPhrase(int http_status);

}  // namespace cryopod::gateway
