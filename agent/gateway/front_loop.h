#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/gateway/byte_stream.h"
#include "agent/gateway/client.h"
#include "agent/gateway/front_options.h"
#include "agent/gateway/service_questions.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "metrics/gateway_metrics.h"

namespace cryopod::gateway {

// The loop of the front's thread (agent/gateway/front.h).
//
// Threads  one, but for End().
class FrontLoop {
 public:
  FrontLoop(UniqueFd listener, std::optional<TlsServer> tls, uint16_t service_port,
            const FrontOptions& options, metrics::GatewayMetrics& metrics);
  // Errors: kResourceExhausted.
  Status Prepare();
  // Returns after End().
  void Run();
  void End();

 private:
  using ClientMap = std::map<uint64_t, std::unique_ptr<Client>>;

  void Accept();
  void Admit(UniqueFd fd, std::string address);
  bool MakeRoom(const std::string& address);
  ClientMap::iterator LongestWaiting(const std::string* address);
  void OnClient(uint64_t id, uint32_t events);
  void Advance(uint64_t id);
  bool Go(uint64_t id, Client& client, Client::Step step);
  void Request(uint64_t id, Client& client);
  void Respond(Client& client, const std::shared_ptr<const Answer>& answer, bool keep);
  void Deliver(const ServiceQuestions::Answered& answered);
  void Watch(uint64_t id, const Client& client);
  void Close(uint64_t id);
  void CloseFor(uint64_t id, metrics::ConnectionEnd reason);
  void Sweep();
  void SweepClient(uint64_t id, Client& client);
  void PauseAccepting();

  const FrontOptions options_;
  UniqueFd listener_;
  const std::optional<TlsServer> tls_;
  ServiceQuestions questions_;
  metrics::GatewayMetrics& metrics_;
  UniqueFd epoll_;
  UniqueFd end_event_;
  bool ended_ = false;
  bool accepting_ = true;
  ClientMap clients_;
  std::map<std::string, size_t> per_address_;
  // Of clients whose next request is here already, and who had their share of this turn.
  std::vector<uint64_t> again_;
  uint64_t next_id_;
};

}  // namespace cryopod::gateway
