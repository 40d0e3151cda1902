#include "agent/daemon/sockets/wrapper_socket.h"

#include <chrono>
#include <utility>

#include "agent/daemon/operations/workers.h"
#include "agent/os/unix_socket.h"

namespace cryopod::daemon {
namespace {

constexpr std::chrono::milliseconds kAcceptInterval{200};
constexpr std::chrono::seconds kFirstMessageTimeout{5};
// Pods that start at once on one node; beyond it connections wait in the socket's backlog.
constexpr size_t kConnectionsMax = 64;

void Accept(const UniqueFd& listener, RestoreOperations& restores, const std::stop_token& stop) {
  Workers connections;
  while (!stop.stop_requested()) {
    restores.Sweep();
    if (connections.CountRunning() >= kConnectionsMax) {
      std::this_thread::sleep_for(kAcceptInterval);
      continue;
    }
    Result<UniqueFd> accepted = AcceptUnix(listener.get(), Deadline::After(kAcceptInterval));
    if (!accepted.ok()) continue;
    connections.Start(
        [&restores, fd = std::move(accepted).value()](const std::stop_token&) mutable {
          const Result<Frame> frame = ReceiveFrame(fd.get(), Deadline::After(kFirstMessageTimeout));
          if (frame.ok()) restores.Serve(std::move(fd), frame->bytes);
        });
  }
}

}  // namespace

Result<std::jthread> ServeWrappers(const settings::AgentSettings& config,
                                   RestoreOperations& restores) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd listener, ListenUnix(config.runtime_socket(), 0600));
  return std::jthread([listener = std::move(listener), &restores](const std::stop_token& stop) {
    Accept(listener, restores, stop);
  });
}

}  // namespace cryopod::daemon
