#include "agent/gateway/service_questions.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "agent/os/log.h"

namespace cryopod::gateway {
namespace {

// The service may have closed a kept connection; the question then goes over a new one.
constexpr int kAttempts = 2;

}  // namespace

ServiceQuestions::AnswerPtr MakeAnswer(int http_status, const std::string& detail) {
  std::string body = std::to_string(http_status) + " " + std::string(ReasonPhrase(http_status));
  if (!detail.empty()) body += ": " + detail;
  return std::make_shared<const Answer>(
      Answer{http_status, "text/plain; charset=utf-8", body + "\n"});
}

ServiceQuestions::ServiceQuestions(uint16_t service_port, const FrontOptions& options)
    : service_port_(service_port), options_(options) {}

ServiceQuestions::AnswerPtr ServiceQuestions::Ask(Route route, uint64_t client) {
  Question& question = questions_[static_cast<size_t>(route)];
  if (question.last != nullptr && !question.fresh.expired()) return question.last;
  if (!question.asked) {
    Status sent;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      sent = Send(route, question);
      if (sent.ok()) break;
      question.link.reset();
    }
    if (!sent.ok()) {
      Log(LogLevel::kWarning, "no answer", {{"reason", sent.message()}});
      return MakeAnswer(503, "the gateway is too busy");
    }
    question.asked = true;
    question.deadline = Deadline::After(options_.service_timeout);
  }
  question.waiting.push_back(client);
  return nullptr;
}

Status ServiceQuestions::Send(Route route, Question& question) {
  if (!question.link) CRYOPOD_RETURN_IF_ERROR(MakeLink(route, question));
  return question.link->Ask(std::string(kRoutes[static_cast<size_t>(route)].target));
}

Status ServiceQuestions::MakeLink(Route route, Question& question) {
  CRYOPOD_ASSIGN_OR_RETURN(ServiceLink link, ServiceLink::Make(service_port_));
  question.link.emplace(std::move(link));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<uint64_t>(route);
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, question.link->fd(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl", "link");
  }
  return Status();
}

ServiceQuestions::Answered ServiceQuestions::TakeWaiting(Question& question, AnswerPtr answer) {
  question.asked = false;
  return {std::exchange(question.waiting, {}), std::move(answer)};
}

std::optional<ServiceQuestions::Answered> ServiceQuestions::Receive(Route route) {
  Question& question = questions_[static_cast<size_t>(route)];
  if (!question.link) return std::nullopt;
  Result<std::optional<Answer>> received = question.link->Receive();
  if (received.ok() && !*received) return std::nullopt;
  if (!received.ok()) {
    question.link.reset();
    if (!question.asked) return std::nullopt;
    Log(LogLevel::kWarning, "no answer", {{"reason", received.status().message()}});
    return TakeWaiting(question, MakeAnswer(502));
  }
  question.last = std::make_shared<const Answer>(*std::move(*received));
  question.fresh = Deadline::After(options_.shared_for);
  return TakeWaiting(question, question.last);
}

std::vector<ServiceQuestions::Answered> ServiceQuestions::Expire() {
  std::vector<Answered> expired;
  for (Question& question : questions_) {
    // Nobody needs an old one, and it may be long.
    if (question.fresh.expired()) question.last.reset();
    if (!question.asked || !question.deadline.expired()) continue;
    question.link.reset();
    expired.push_back(TakeWaiting(question, MakeAnswer(504)));
  }
  return expired;
}

void ServiceQuestions::Forget(Route route, uint64_t client) {
  std::erase(questions_[static_cast<size_t>(route)].waiting, client);
}

}  // namespace cryopod::gateway
