#pragma once

#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::wrapper {

// One question to the agent. The connection stays open as long as this lives: for a RESTORE that
// tells the other side that somebody still waits for its end.
class AgentConnection {
 public:
  // Connects, sends, and waits for the first answer.
  // Errors: of ConnectUnix and ReceiveAnswer; each names the socket.
  static Result<AgentConnection> Ask(const std::string& socket_path, const Request& request,
                                     Deadline deadline);

  const Answer& answer() const { return answer_; }
  // Reports how a restore went and waits for the second answer.
  Result<Answer> Report(const Outcome& outcome, Deadline deadline);

 private:
  AgentConnection(UniqueFd socket, Answer answer)
      : socket_(std::move(socket)), answer_(std::move(answer)) {}
  UniqueFd socket_;
  Answer answer_;
};

}  // namespace cryopod::wrapper
