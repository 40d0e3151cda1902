#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cryopod::gateway {

inline constexpr size_t kHeadBytesMax = 8 << 10;
inline constexpr size_t kHeaderCountMax = 64;

// What the first bytes of a connection are.
struct RequestHead {
  // 0: a whole head, `size_bytes` of the input, or the beginning of one; else why it is refused.
  int http_status = 0;
  bool complete = false;  // otherwise more bytes are needed
  size_t size_bytes = 0;
  // As the HTTP service is to read it: the client's own lines, but for two. The service ends the
  // connection with its answer, and cpprestsdk would give HEAD a body, so it is asked to GET.
  std::string text;
  uint64_t body_bytes = 0;       // that follow
  bool bodiless_answer = false;  // HEAD: the answer's head is all of it
  bool expects_continue = false;
};

// Strict: CRLF only, no folded headers, one length at most. What is no HTTP is refused at its first
// wrong byte, and never more than kHeadBytesMax are asked for. A body in chunks is refused (411):
// cpprestsdk 2.10.18 writes beyond its buffer when a chunk's size is -1, and no client of the
// gateway's paths needs one.
//
// Source  RFC 9112, sections 2, 3, 5 and 6; 9110, section 15.5.
RequestHead ParseRequestHead(std::string_view bytes);

// "Request Timeout"; "" for a code that the front does not use.
std::string_view ReasonPhrase(int http_status);

}  // namespace cryopod::gateway
