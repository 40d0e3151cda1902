#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "agent/gateway/byte_stream.h"
#include "agent/gateway/request_head.h"
#include "agent/gateway/service_link.h"
#include "agent/os/deadline.h"
#include "agent/os/unique_fd.h"

namespace cryopod::gateway {

// How long the front waits for a client. A Prometheus scrapes every 15 s to 120 s.
struct ClientTimeouts {
  std::chrono::milliseconds request{10'000};   // from the first byte, or the connection, to a head
  std::chrono::milliseconds idle{150'000};     // between a response and the next request
  std::chrono::milliseconds response{10'000};  // to read a response
  std::chrono::milliseconds draining{2'000};   // to take notice of the end
};

// One connection of a client: what it may do next, and until when.
//
// Shape    reading → waiting (for the service's answer) → writing → reading, or at the end
//          draining: bytes that nobody read would make the kernel reset the connection, and the
//          client might not see its last response.
// Threads  one.
class Client {
 public:
  enum class Phase { kReading, kWaiting, kWriting, kDraining };
  // What a step came to.
  enum class Step {
    kBlocked,   // wants() says for what
    kRequest,   // reading: request() is there, the phase is kWaiting
    kRefused,   // reading: refused_with() says why; respond with it
    kWritten,   // writing: the response is out, the phase is kReading or kDraining
    kEnded,     // close it
    kTlsFailed  // close it; it does not speak TLS as we do
  };

  Client(UniqueFd fd, std::unique_ptr<ByteStream> stream, std::string address,
         const ClientTimeouts& timeouts);

  Step Advance();
  // Leaves kReading or kWaiting for kWriting. `keep` is asked for by the caller; a client that
  // wants its connection closed is obeyed.
  void Respond(std::shared_ptr<const Answer> answer, bool keep);

  Phase phase() const { return phase_; }
  const RequestHead& request() const { return request_; }
  int refused_with() const { return refused_with_; }
  // EPOLLIN, EPOLLOUT or 0.
  uint32_t wants() const { return wants_; }
  Deadline deadline() const { return deadline_; }
  Deadline::Clock::time_point waiting_since() const { return waiting_since_; }
  // A part of a request, or of a handshake, is there, or none has ever been.
  bool amid_request() const { return !received_.empty() || !served_; }
  bool has_sent_bytes() const { return !received_.empty(); }
  const std::string& address() const { return address_; }
  int fd() const { return fd_.get(); }

 private:
  Step Read();
  Step Write();
  Step Drain();
  Step Blocked(IoState state);
  void Enter(Phase phase, std::chrono::milliseconds timeout);

  UniqueFd fd_;
  std::unique_ptr<ByteStream> stream_;
  std::string address_;
  const ClientTimeouts& timeouts_;
  Phase phase_ = Phase::kReading;
  uint32_t wants_ = 0;
  Deadline deadline_;
  Deadline::Clock::time_point waiting_since_;
  std::string received_;
  size_t drained_bytes_ = 0;
  RequestHead request_;
  int refused_with_ = 0;
  bool served_ = false;
  bool keep_ = false;
  std::string head_;
  std::shared_ptr<const Answer> answer_;
  size_t written_bytes_ = 0;
};

}  // namespace cryopod::gateway
