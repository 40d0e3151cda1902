#include "agent/gateway/exchange.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace cryopod::gateway {
namespace {

using metrics::ConnectionEnd;

constexpr std::string_view kHeadEnd = "\r\n\r\n";
// One client that sends or takes without end does not hold up the others.
constexpr int kTurns = 16;
// Whoever sends more after its answer is no client that wants to read it.
constexpr size_t kDrainBytesMax = 1 << 20;
constexpr size_t kPipedBytesMax = 4 << 10;

std::string OwnAnswer(int http_status) {
  const std::string reason =
      std::to_string(http_status) + " " + std::string(ReasonPhrase(http_status));
  return "HTTP/1.1 " + reason + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
         std::to_string(reason.size() + 1) +
         "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n" + reason + "\n";
}

}  // namespace

Exchange::Step Exchange::Advance() {
  for (int turn = 0; turn < kTurns; ++turn) {
    const Step step = phase_ == Phase::kHead     ? TakeHead()
                      : phase_ == Phase::kPiping ? Pipe()
                                                 : Drain();
    if (step != Step::kMore) return step;
  }
  return Step::kMore;
}

void Exchange::Enter(Phase phase) {
  phase_ = phase;
  GoOn();
}

void Exchange::GoOn() {
  since_ = Deadline::Clock::now();
  moved_bytes_ = 0;
}

// A byte now and then is no progress: only so many are.
void Exchange::CountMoved(size_t bytes) {
  moved_bytes_ += bytes;
  if (moved_bytes_ >= kPipeBytesMax) GoOn();
}

Exchange::Step Exchange::AfterClientsEnd(IoState state) {
  if (state == IoState::kWantRead || state == IoState::kWantWrite) return Step::kBlocked;
  if (state == IoState::kFailed && !client_.established()) metrics_.CountEnd(ConnectionEnd::kTls);
  return Step::kEnded;
}

Exchange::Step Exchange::TakeHead() {
  const IoStep step = client_.Read(to_service_, kPipedBytesMax);
  if (step.state != IoState::kDone) return AfterClientsEnd(step.state);
  RequestHead parsed = ParseRequestHead(to_service_);
  if (parsed.http_status != 0) {
    Refuse(parsed.http_status);
    return Step::kMore;
  }
  if (!parsed.complete) return Step::kMore;
  head_ = std::move(parsed);
  to_service_.erase(0, head_.size_bytes);
  // Behind a body there is nothing for the service.
  to_service_.resize(std::min<uint64_t>(to_service_.size(), head_.body_bytes));
  body_bytes_ = head_.body_bytes;
  body_left_ = body_bytes_ - to_service_.size();
  return Step::kHead;
}

void Exchange::Serve(ByteStream service) {
  service_.emplace(std::move(service));
  to_service_.insert(0, std::exchange(head_.text, {}));
  // A connection that has sent nothing yet takes it at once.
  if (head_.expects_continue && body_left_ > 0) client_.Write("HTTP/1.1 100 Continue\r\n\r\n");
  Enter(Phase::kPiping);
}

void Exchange::Refuse(int http_status) {
  metrics_.CountRequest("other", http_status);
  LeaveService();
  to_client_ = OwnAnswer(http_status);
  if (head_.bodiless_answer) to_client_.resize(to_client_.find(kHeadEnd) + kHeadEnd.size());
  answer_begun_ = true;
  Enter(Phase::kPiping);
}

void Exchange::LeaveService() {
  service_.reset();
  to_service_.clear();
  body_bytes_ = body_left_ = 0;
}

Exchange::Step Exchange::Pipe() {
  bool moved = false;
  for (const auto go :
       {&Exchange::TakeBody, &Exchange::PassBody, &Exchange::TakeAnswer, &Exchange::PassAnswer}) {
    const IoState state = (this->*go)();
    if (state == IoState::kEnded || state == IoState::kFailed) return AfterClientsEnd(state);
    moved |= state == IoState::kDone;
  }
  if (moved || service_ || !to_client_.empty()) {
    return moved ? Step::kMore : Step::kBlocked;
  }
  client_.EndWriting();
  Enter(Phase::kDraining);
  return Step::kMore;
}

IoState Exchange::TakeBody() {
  if (!receives_body() || to_service_.size() >= kPipeBytesMax) return IoState::kWantRead;
  const size_t room = kPipeBytesMax - to_service_.size();
  const IoStep step = client_.Read(to_service_, std::min<uint64_t>(room, body_left_));
  body_left_ -= step.size_bytes;
  CountMoved(step.size_bytes);
  if (body_left_ == 0) GoOn();
  return step.state;
}

IoState Exchange::PassBody() {
  if (!service_ || to_service_.empty()) return IoState::kWantWrite;
  const IoStep step = service_->Write(to_service_);
  to_service_.erase(0, step.size_bytes);
  if (step.state != IoState::kFailed) return step.state;
  // It takes no more; its answer may be there in spite of that.
  to_service_.clear();
  body_left_ = 0;
  return IoState::kDone;
}

IoState Exchange::TakeAnswer() {
  if (!service_ || to_client_.size() >= kPipeBytesMax) return IoState::kWantRead;
  const bool waited = to_client_.empty();
  const IoStep step = service_->Read(to_client_, kPipeBytesMax - to_client_.size());
  if (step.state == IoState::kWantRead) return step.state;
  if (step.state == IoState::kDone) {
    if (waited) GoOn();
    if (!answer_begun_) BeginAnswer();
  } else if (!answer_begun_) {
    Refuse(503);
  } else if (step.state == IoState::kEnded) {
    LeaveService();
  } else {
    return IoState::kFailed;  // a client that is cut off knows that it has not got it all
  }
  return IoState::kDone;
}

void Exchange::BeginAnswer() {
  const size_t end = to_client_.find(kHeadEnd);
  if (end == std::string::npos) {
    if (to_client_.size() >= kPipeBytesMax) Refuse(503);
    return;
  }
  answer_begun_ = true;
  if (head_.bodiless_answer) {
    to_client_.resize(end + kHeadEnd.size());
    LeaveService();
  }
  to_client_.insert(to_client_.find("\r\n"), "\r\nConnection: close");
}

IoState Exchange::PassAnswer() {
  if (!answer_begun_ || to_client_.empty()) return IoState::kWantWrite;
  const IoStep step = client_.Write(to_client_);
  to_client_.erase(0, step.size_bytes);
  CountMoved(step.size_bytes);
  if (to_client_.empty()) GoOn();
  return step.state;
}

Exchange::Step Exchange::Drain() {
  std::string unread;
  const IoStep step = client_.Read(unread, kPipedBytesMax);
  drained_bytes_ += step.size_bytes;
  if (step.state != IoState::kDone) return AfterClientsEnd(step.state);
  return drained_bytes_ > kDrainBytesMax ? Step::kEnded : Step::kMore;
}

bool Exchange::waits_for_client() const {
  if (phase_ != Phase::kPiping) return true;
  const bool takes_body = receives_body() && to_service_.size() < kPipeBytesMax;
  return takes_body || (answer_begun_ && !to_client_.empty());
}

std::chrono::milliseconds Exchange::Allowed() const {
  if (phase_ == Phase::kDraining) return timeouts_.draining;
  if (!waits_for_client()) return timeouts_.service;
  return answer_begun_ ? timeouts_.response : timeouts_.request;
}

bool Exchange::Expire() {
  if (phase_ == Phase::kDraining) return false;
  const bool slow_client = waits_for_client();
  const bool silent = phase_ == Phase::kHead && to_service_.empty();
  if (slow_client) {
    metrics_.CountEnd(answer_begun_ ? ConnectionEnd::kResponseSlow : ConnectionEnd::kRequestSlow);
  }
  if (answer_begun_ || silent) return false;
  Refuse(slow_client ? 408 : 504);
  return true;
}

}  // namespace cryopod::gateway
