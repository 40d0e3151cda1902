#include "restore/runtime/agent_connection.h"

#include <utility>

#include "agent/os/unix_socket.h"

namespace cryopod::wrapper {

Result<AgentConnection> AgentConnection::Ask(const std::string& socket_path, const Request& request,
                                             Deadline deadline) {
  const std::string doing = "asking the cryopod agent at " + socket_path;
  Result<UniqueFd> socket = ConnectUnix(socket_path, deadline);
  if (!socket.ok()) return socket.status().While(doing);
  CRYOPOD_RETURN_IF_ERROR(Send(socket->get(), request, deadline).While(doing));
  Result<Answer> answer = ReceiveAnswer(socket->get(), deadline);
  if (!answer.ok()) return answer.status().While(doing);
  return AgentConnection(std::move(*socket), std::move(*answer));
}

Result<Answer> AgentConnection::Report(const Outcome& outcome, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(
      Send(socket_.get(), outcome, deadline).While("reporting the restore to the cryopod agent"));
  return ReceiveAnswer(socket_.get(), deadline);
}

}  // namespace cryopod::wrapper
