#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/api/types.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::api {

inline constexpr char kDefaultSocket[] = "/run/cryopod/agent.sock";

// Called on the caller's thread, in the order in which the agent reports.
using ProgressSink = std::function<void(const Progress& progress)>;
// Receives the bytes of a file in order. An error ends the transfer and is returned.
using ByteSink = std::function<Status(std::string_view bytes)>;
// Receives the bytes of the log `name`. An error ends the transfer and is returned.
using LogSink = std::function<Status(std::string_view name, std::string_view bytes)>;

// A client of the agent socket.
//
// Errors   those of the agent as they are, with its reasons; their codes are listed in
//          agent/api/cryopod.proto. kUnavailable at once when nobody listens at the socket, and
//          kDeadlineExceeded when an agent that does gave no answer in time: both name it.
// Threads  any; calls are independent. An operation that has begun goes on without its caller.
class Client {
 public:
  explicit Client(const std::string& socket_path);
  ~Client();
  Client(Client&&) noexcept;

  // `details` of a call that failed, where they are wanted.
  Result<CheckpointResult> Checkpoint(const CheckpointRequest& request,
                                      const ProgressSink& on_progress, Deadline deadline,
                                      FailureDetails* details = nullptr);
  Result<RestoreResult> Restore(const RestoreRequest& request, const ProgressSink& on_progress,
                                Deadline deadline, FailureDetails* details = nullptr);
  // Follows an operation to its end, or answers what it came to.
  Result<OperationResult> Wait(const std::string& operation_id, const ProgressSink& on_progress,
                               Deadline deadline, FailureDetails* details = nullptr);
  // Answers when the operation is asked to end, not when it has ended.
  Status Cancel(const std::string& operation_id, Deadline deadline);
  // Log after log, in pieces.
  Status Logs(const std::string& operation_id, const LogSink& sink, Deadline deadline);
  // `pod_namespace` empty: all. Operations that run, with `ended` also those that are remembered.
  Result<Listing> List(const std::string& pod_namespace, Deadline deadline, bool ended = false);
  Result<Inspection> Inspect(const std::string& archive, Deadline deadline);
  Result<Verification> Verify(const std::string& archive, Deadline deadline);
  Status Delete(const std::string& archive, Deadline deadline);
  // `container` empty: the whole pod as an oci-archive.
  Status Export(const std::string& archive, const std::string& container, const ByteSink& sink,
                Deadline deadline);
  // Sends `fd` (borrowed; a file, pipe or socket) to its end; it becomes the archive `name`.
  Result<ArchiveSummary> Import(const std::string& name, int fd, Deadline deadline);
  Result<NodeInfo> DescribeNode(Deadline deadline);
  // Prometheus text format.
  Result<std::string> Metrics(Deadline deadline);

 private:
  struct Channel;
  std::unique_ptr<Channel> channel_;
};

}  // namespace cryopod::api
