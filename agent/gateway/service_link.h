#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::gateway {

// What the HTTP service said, for every client that asks the same at about the same time.
struct Answer {
  int http_status = 0;
  std::string content_type;
  std::string body;
};

// No text of the agent comes near it.
inline constexpr size_t kAnswerBytesMax = 4 << 20;

// One kept connection to the HTTP service, with one question at a time.
//
// Threads  one; nothing blocks but the connecting, which is the kernel's own affair on loopback.
class ServiceLink {
 public:
  // Connects to 127.0.0.1:`service_port`. Errors: kUnavailable.
  static Result<ServiceLink> Make(uint16_t service_port);

  // Sends `GET target`. Errors: kUnavailable; the link is of no further use then.
  Status Ask(const std::string& target);
  // Call when fd() can be read. Nothing while the answer is not whole; errors: kUnavailable,
  // kInternal (no HTTP of cpprestsdk's), kResourceExhausted.
  Result<std::optional<Answer>> Receive();

  int fd() const { return fd_.get(); }

 private:
  explicit ServiceLink(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<std::optional<Answer>> TakeAnswer();

  UniqueFd fd_;
  std::string received_;
};

}  // namespace cryopod::gateway
