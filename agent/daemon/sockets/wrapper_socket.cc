#include "agent/daemon/sockets/wrapper_socket.h"

#include <atomic>
#include <chrono>
#include <list>
#include <utility>

#include "agent/os/log.h"
#include "agent/os/unix_socket.h"

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kAcceptInterval{200};
constexpr seconds kFirstMessageTimeout{5};
// Pods that start at once on one node; beyond it connections wait in the socket's backlog.
constexpr size_t kConnectionsMax = 64;

struct Connection {
  std::atomic<bool> ended = false;
  std::jthread thread;
};

}  // namespace

Result<std::unique_ptr<WrapperServer>> WrapperServer::Start(const settings::AgentSettings& config,
                                                            RestoreOperations& restores) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd listener, ListenUnix(config.runtime_socket(), 0600));
  return std::unique_ptr<WrapperServer>(new WrapperServer(std::move(listener), restores));
}

WrapperServer::WrapperServer(UniqueFd listener, RestoreOperations& restores)
    : listener_(std::move(listener)),
      restores_(restores),
      thread_([this](const std::stop_token& stop) { Accept(stop); }) {}

WrapperServer::~WrapperServer() { thread_.request_stop(); }

void WrapperServer::Accept(const std::stop_token& stop) {
  std::list<Connection> connections;
  while (!stop.stop_requested()) {
    connections.remove_if([](const Connection& connection) { return connection.ended.load(); });
    restores_.Sweep();
    if (connections.size() >= kConnectionsMax) {
      std::this_thread::sleep_for(kAcceptInterval);
      continue;
    }
    Result<UniqueFd> accepted = AcceptUnix(listener_.get(), Deadline::After(kAcceptInterval));
    if (!accepted.ok()) continue;
    Connection& connection = connections.emplace_back();
    connection.thread =
        std::jthread([this, &ended = connection.ended, fd = std::move(accepted).value()]() mutable {
          Result<Frame> frame = ReceiveFrame(fd.get(), Deadline::After(kFirstMessageTimeout));
          if (frame.ok()) restores_.Serve(std::move(fd), frame->bytes);
          ended = true;
        });
  }
}

}  // namespace cryopod::daemon
