#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent/gateway/front_options.h"
#include "agent/gateway/routes.h"
#include "agent/gateway/service_link.h"
#include "agent/os/deadline.h"

namespace cryopod::gateway {

// The questions to the HTTP service, one of a kind at a time, and who waits for the answers.
//
// Errors   a service that does not answer is answered for: 502, 503 or 504.
// Threads  one.
class ServiceQuestions {
 public:
  using AnswerPtr = std::shared_ptr<const Answer>;
  struct Answered {
    std::vector<uint64_t> clients;
    AnswerPtr answer;
  };

  // `epoll_fd` is borrowed; links are added to it with their route as the event's number.
  ServiceQuestions(uint16_t service_port, const FrontOptions& options);
  void SetEpoll(int epoll_fd) { epoll_fd_ = epoll_fd; }

  // An answer that is fresh enough or a failure; else nothing, and `client` waits.
  AnswerPtr Ask(Route route, uint64_t client);
  // The link of `route` can be read.
  std::optional<Answered> Receive(Route route);
  // Everybody whose answer is overdue.
  std::vector<Answered> Expire();
  void Forget(Route route, uint64_t client);

 private:
  struct Question {
    std::optional<ServiceLink> link;
    bool asked = false;
    Deadline deadline = Deadline::After(std::chrono::nanoseconds(0));
    std::vector<uint64_t> waiting;
    AnswerPtr last;
    Deadline fresh = Deadline::After(std::chrono::nanoseconds(0));
  };
  Status Send(Route route, Question& question);
  Status MakeLink(Route route, Question& question);
  Answered TakeWaiting(Question& question, AnswerPtr answer);

  uint16_t service_port_;
  const FrontOptions& options_;
  int epoll_fd_ = -1;
  std::array<Question, kRouteCount> questions_;
};

// An answer of the front's own: the code, its phrase, and `detail` when there is one.
ServiceQuestions::AnswerPtr MakeAnswer(int http_status, const std::string& detail = "");

}  // namespace cryopod::gateway
