#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "agent/gateway/byte_stream.h"
#include "agent/gateway/request_head.h"
#include "agent/os/deadline.h"
#include "metrics/gateway_metrics.h"

namespace cryopod::gateway {

// How long the front waits. Bodies and answers may take any time, but not stand still.
struct ExchangeTimeouts {
  std::chrono::milliseconds request{10'000};   // from the connection to a head; for more of a body
  std::chrono::milliseconds response{10'000};  // for a client to take more of its answer
  std::chrono::milliseconds service{600'000};  // the handlers' own times are shorter
  std::chrono::milliseconds draining{2'000};   // for a client to take notice of the end
};

// One connection of a client: one request and its answer.
//
// Why      the connection ends with its answer, so the service never reads a second head, and
//          nobody finds out where one would begin in a stranger's bytes. A client that sends more
//          learns from "Connection: close" that it was not heard (RFC 9112, section 9.6).
// Shape    the head → both directions, each through kPipeBytesMax at most → draining: bytes that
//          nobody read would make the kernel reset the connection, and the client might not see the
//          end of its answer. A service that fails before its answer is answered for.
// Threads  one.
class Exchange {
 public:
  static constexpr size_t kPipeBytesMax = 16 << 10;

  // What Advance() came to.
  enum class Step {
    kBlocked,  // nothing to do until a socket can do more
    kMore,     // it had its share; call again
    kHead,     // a whole head: call Serve() or Refuse(), then again
    kEnded     // close it
  };

  Exchange(ByteStream client, std::string address, const ExchangeTimeouts& timeouts,
           metrics::GatewayMetrics& metrics)
      : client_(std::move(client)),
        address_(std::move(address)),
        timeouts_(timeouts),
        metrics_(metrics) {}

  Step Advance();
  // Passes the request on to `service`, which is connected or about to be.
  void Serve(ByteStream service);
  // Answers itself. Nothing of the service's answer has been passed on.
  void Refuse(int http_status);
  // It has stood still for too long.
  bool overdue() const { return since_ + Allowed() <= Deadline::Clock::now(); }
  // What is to be done then: true when there is an answer to Advance() with, else close it.
  bool Expire();

  const std::string& address() const { return address_; }
  // When something last went on.
  Deadline::Clock::time_point since() const { return since_; }
  bool waits_for_client() const;
  bool receives_body() const { return service_.has_value() && body_left_ > 0; }
  // Of a request that the service has not answered whole.
  uint64_t body_bytes() const { return body_bytes_; }

 private:
  enum class Phase { kHead, kPiping, kDraining };

  Step TakeHead();
  Step Pipe();
  Step Drain();
  IoState TakeBody();
  IoState PassBody();
  IoState TakeAnswer();
  IoState PassAnswer();
  void BeginAnswer();
  void LeaveService();
  void Enter(Phase phase);
  void GoOn();
  void CountMoved(size_t bytes);
  Step AfterClientsEnd(IoState state);
  std::chrono::milliseconds Allowed() const;

  ByteStream client_;
  std::optional<ByteStream> service_;  // from Serve() to its end
  const std::string address_;
  const ExchangeTimeouts& timeouts_;
  metrics::GatewayMetrics& metrics_;
  Phase phase_ = Phase::kHead;
  Deadline::Clock::time_point since_ = Deadline::Clock::now();
  size_t moved_bytes_ = 0;  // since then
  RequestHead head_;
  uint64_t body_bytes_ = 0;
  uint64_t body_left_ = 0;
  std::string to_service_;  // the head as it comes, then what the service has yet to take
  std::string to_client_;
  bool answer_begun_ = false;  // the answer's head is whole, and from there on out of our hands
  size_t drained_bytes_ = 0;
};

}  // namespace cryopod::gateway
