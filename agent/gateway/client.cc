#include "agent/gateway/client.h"

#include <sys/epoll.h>

#include <string_view>
#include <utility>

namespace cryopod::gateway {
namespace {

constexpr size_t kReadBytesMax = 4 << 10;
// Whoever sends more after its last response is no client that wants to read it.
constexpr size_t kDrainBytesMax = 1 << 20;

std::string ResponseHead(const Answer& answer, bool keep) {
  std::string head = "HTTP/1.1 " + std::to_string(answer.http_status) + " " +
                     std::string(ReasonPhrase(answer.http_status)) + "\r\n";
  head += "Content-Type: " + answer.content_type + "\r\n";
  head += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
  head += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  if (answer.http_status == 405) head += "Allow: GET, HEAD\r\n";
  head += keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

}  // namespace

Client::Client(UniqueFd fd, std::unique_ptr<ByteStream> stream, std::string address,
               const ClientTimeouts& timeouts)
    : fd_(std::move(fd)),
      stream_(std::move(stream)),
      address_(std::move(address)),
      timeouts_(timeouts),
      wants_(EPOLLIN),
      deadline_(Deadline::After(timeouts.request)),
      waiting_since_(Deadline::Clock::now()) {}

void Client::Enter(Phase phase, std::chrono::milliseconds timeout) {
  phase_ = phase;
  waiting_since_ = Deadline::Clock::now();
  deadline_ = Deadline::At(waiting_since_ + timeout);
}

Client::Step Client::Advance() {
  switch (phase_) {
    case Phase::kReading:
      return Read();
    case Phase::kWriting:
      return Write();
    case Phase::kDraining:
      return Drain();
    case Phase::kWaiting:
      break;
  }
  wants_ = 0;
  return Step::kBlocked;
}

Client::Step Client::Blocked(IoState state) {
  if (state == IoState::kWantRead || state == IoState::kWantWrite) {
    wants_ = state == IoState::kWantRead ? EPOLLIN : EPOLLOUT;
    return Step::kBlocked;
  }
  const bool tls = state == IoState::kFailed && !stream_->established();
  return tls ? Step::kTlsFailed : Step::kEnded;
}

Client::Step Client::Read() {
  while (true) {
    if (!received_.empty()) {
      ParsedHead parsed = ParseRequestHead(received_);
      request_ = std::move(parsed.head);
      if (parsed.http_status != 0) {
        refused_with_ = parsed.http_status;
        return Step::kRefused;
      }
      if (parsed.complete) {
        received_.erase(0, parsed.size_bytes);
        phase_ = Phase::kWaiting;
        wants_ = 0;
        return Step::kRequest;
      }
    }
    const bool was_idle = received_.empty() && served_;
    const IoStep step = stream_->Read(received_, kReadBytesMax);
    if (step.state != IoState::kDone) return Blocked(step.state);
    // From its first byte on a request has its own time, however slowly it comes.
    if (was_idle) Enter(Phase::kReading, timeouts_.request);
  }
}

void Client::Respond(std::shared_ptr<const Answer> answer, bool keep) {
  keep_ = keep && request_.keep_alive;
  head_ = ResponseHead(*answer, keep_);
  answer_ = std::move(answer);
  written_bytes_ = 0;
  Enter(Phase::kWriting, timeouts_.response);
}

Client::Step Client::Write() {
  const bool bodiless = request_.method == Method::kHead;
  const std::string_view body = bodiless ? std::string_view() : std::string_view(answer_->body);
  while (written_bytes_ < head_.size() + body.size()) {
    const bool in_head = written_bytes_ < head_.size();
    const std::string_view rest = in_head ? std::string_view(head_).substr(written_bytes_)
                                          : body.substr(written_bytes_ - head_.size());
    const IoStep step = stream_->Write(rest);
    if (step.state != IoState::kDone) return Blocked(step.state);
    written_bytes_ += step.size_bytes;
  }
  answer_.reset();
  served_ = true;
  if (keep_) {
    Enter(Phase::kReading, received_.empty() ? timeouts_.idle : timeouts_.request);
  } else {
    stream_->EndWriting();
    Enter(Phase::kDraining, timeouts_.draining);
  }
  return Step::kWritten;
}

Client::Step Client::Drain() {
  while (drained_bytes_ <= kDrainBytesMax) {
    received_.clear();
    const IoStep step = stream_->Read(received_, kReadBytesMax);
    if (step.state != IoState::kDone) return Blocked(step.state);
    drained_bytes_ += step.size_bytes;
  }
  return Step::kEnded;
}

}  // namespace cryopod::gateway
