#include "agent/api/client.h"

#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/api/cryopod.grpc.pb.h"
#include "agent/api/messages.h"
#include "agent/os/unix_socket.h"

namespace cryopod::api {
namespace {

using v1::PodCheckpoints;
using Stub = PodCheckpoints::Stub;

constexpr int kMessageBytesMax = 16 << 20;
// An error travels as metadata, which gRPC cuts off at 8 KiB: a preflight names every reason at
// once.
constexpr int kMetadataBytesMax = 256 << 10;
// Large enough that a message costs nothing beside its bytes, small enough for both ends' buffers.
constexpr size_t kImportChunkBytes = size_t{256} << 10;
// gRPC turns an instant into a timeout header and overflows on one that is centuries away.
constexpr std::chrono::hours kWaitMax{24 * 7};
// An agent that stands still lets us into its backlog and says nothing: whoever waits for it is
// ended by the deadline of a call. Under this name gRPC (1.51, subchannel.cc) also takes the time
// that a connection may take until it is greeted; when it tries again, the other two say.
constexpr int kConnectTimeoutMs =
    int{std::chrono::duration_cast<std::chrono::duration<int, std::milli>>(kWaitMax).count()};
constexpr int kReconnectFirstMs = 100;
constexpr int kReconnectLastMs = 1000;
// What gRPC says when a deadline of ours is over; the agent has words of its own.
constexpr char kGrpcTimeout[] = "Deadline Exceeded";

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& socket_path) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectLastMs);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(),
                                   arguments);
}

void SetDeadline(Deadline deadline, grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() +
                        std::min<std::chrono::nanoseconds>(deadline.remaining(), kWaitMax));
}

// Reads what is there, at most a chunk, and waits for the first byte. Empty at the end of the file.
Status ReadChunk(int fd, Deadline deadline, std::string* chunk) {
  chunk->resize(kImportChunkBytes);
  for (;;) {
    pollfd waiting = {fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, deadline.poll_timeout_ms());
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll", "the file to import");
    if (ready == 0 && deadline.expired()) {
      return Status(Code::kDeadlineExceeded, "the file to import gave no bytes in time");
    }
    if (ready <= 0) continue;
    const ssize_t got = ::read(fd, chunk->data(), chunk->size());
    if (got >= 0) {
      chunk->resize(static_cast<size_t>(got));
      return Status();
    }
    if (errno != EINTR && errno != EAGAIN) return ErrnoStatus(errno, "read", "the file to import");
  }
}

}  // namespace

struct Client::Channel {
  explicit Channel(const std::string& path)
      : socket_path(path), stub(PodCheckpoints::NewStub(OpenChannel(path))) {}

  // gRPC says of every failure to connect the same thing at length; the socket itself says which.
  Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context,
                  FailureDetails* details = nullptr) const {
    Status failed = api::FromGrpc(status, context, details);
    if (failed.code() == Code::kDeadlineExceeded && failed.message() == kGrpcTimeout) {
      return Status(failed.code(), "no answer from the agent at " + socket_path + " in time");
    }
    if (failed.code() != Code::kUnavailable) return failed;
    const Result<UniqueFd> probe =
        ConnectUnix(socket_path, Deadline::After(std::chrono::seconds(1)));
    if (probe.ok()) return failed;
    // Too busy to let anybody in is not absent.
    const bool busy = probe.status().code() == Code::kDeadlineExceeded;
    return Status(busy ? Code::kDeadlineExceeded : Code::kUnavailable,
                  "no answer from the agent: " + probe.status().message());
  }

  template <typename Response, typename Request>
  Result<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                        const Request& request, Deadline deadline) const {
    grpc::ClientContext context;
    SetDeadline(deadline, &context);
    Response response;
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status, context);
    return response;
  }

  // Hands every event on but the last one, which holds the result.
  template <typename Request>
  Result<OperationResult> Follow(std::unique_ptr<grpc::ClientReader<v1::OperationEvent>> (
                                     Stub::*method)(grpc::ClientContext*, const Request&),
                                 const Request& request, const ProgressSink& on_progress,
                                 Deadline deadline, FailureDetails* details) const {
    grpc::ClientContext context;
    SetDeadline(deadline, &context);
    const auto reader = (stub.get()->*method)(&context, request);
    v1::OperationEvent event;
    v1::OperationEvent last;
    while (reader->Read(&event)) {
      const bool ends = event.has_checkpoint() || event.has_restore();
      if (on_progress && !ends) on_progress(FromMessage<Progress>(event));
      last.Swap(&event);
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return FromGrpc(status, context, details);
    if (last.has_checkpoint())
      return OperationResult(FromMessage<CheckpointResult>(last.checkpoint()));
    if (last.has_restore()) return OperationResult(FromMessage<RestoreResult>(last.restore()));
    return WithoutResult();
  }

  // Hands on piece after piece until `sink` fails.
  template <typename Chunk, typename Request>
  Status Receive(std::unique_ptr<grpc::ClientReader<Chunk>> (Stub::*method)(grpc::ClientContext*,
                                                                            const Request&),
                 const Request& request, Deadline deadline,
                 const std::function<Status(const Chunk&)>& sink) const {
    grpc::ClientContext context;
    SetDeadline(deadline, &context);
    const auto reader = (stub.get()->*method)(&context, request);
    for (Chunk chunk; reader->Read(&chunk);) {
      Status taken = sink(chunk);
      if (taken.ok()) continue;
      context.TryCancel();
      reader->Finish();
      return taken;
    }
    return FromGrpc(reader->Finish(), context);
  }

  static Status WithoutResult() {
    return Status(Code::kInternal, "the agent ended the operation without a result");
  }

  // Of one kind alone.
  template <typename Answer>
  static Result<Answer> Only(Result<OperationResult> result) {
    if (!result.ok()) return result.status();
    Answer* const answer = std::get_if<Answer>(&*result);
    if (answer == nullptr) return WithoutResult();
    return std::move(*answer);
  }

  std::string socket_path;
  std::unique_ptr<Stub> stub;
};

Client::Client(const std::string& socket_path) : channel_(std::make_unique<Channel>(socket_path)) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;

Result<CheckpointResult> Client::Checkpoint(const CheckpointRequest& request,
                                            const ProgressSink& on_progress, Deadline deadline,
                                            FailureDetails* details) {
  v1::CheckpointRequest message;
  ToMessage(request, &message);
  return Channel::Only<CheckpointResult>(
      channel_->Follow(&Stub::Checkpoint, message, on_progress, deadline, details));
}

Result<RestoreResult> Client::Restore(const RestoreRequest& request,
                                      const ProgressSink& on_progress, Deadline deadline,
                                      FailureDetails* details) {
  v1::RestoreRequest message;
  ToMessage(request, &message);
  return Channel::Only<RestoreResult>(
      channel_->Follow(&Stub::Restore, message, on_progress, deadline, details));
}

Result<OperationResult> Client::Wait(const std::string& operation_id,
                                     const ProgressSink& on_progress, Deadline deadline,
                                     FailureDetails* details) {
  v1::WaitRequest message;
  message.set_operation_id(operation_id);
  return channel_->Follow(&Stub::Wait, message, on_progress, deadline, details);
}

Status Client::Cancel(const std::string& operation_id, Deadline deadline) {
  v1::CancelRequest request;
  request.set_operation_id(operation_id);
  return channel_->Call(&Stub::Cancel, request, deadline).status();
}

Status Client::Logs(const std::string& operation_id, const LogSink& sink, Deadline deadline) {
  v1::LogsRequest request;
  request.set_operation_id(operation_id);
  return channel_->Receive<v1::LogChunk>(
      &Stub::Logs, request, deadline,
      [&sink](const v1::LogChunk& chunk) { return sink(chunk.name(), chunk.data()); });
}

Result<Listing> Client::List(const std::string& pod_namespace, Deadline deadline, bool ended) {
  v1::ListRequest request;
  request.set_namespace_(pod_namespace);
  request.set_ended_operations(ended);
  CRYOPOD_ASSIGN_OR_RETURN(const v1::ListResponse response,
                           channel_->Call(&Stub::List, request, deadline));
  return FromMessage<Listing>(response);
}

Result<Inspection> Client::Inspect(const std::string& archive, Deadline deadline) {
  v1::InspectRequest request;
  request.set_archive(archive);
  CRYOPOD_ASSIGN_OR_RETURN(const v1::InspectResponse response,
                           channel_->Call(&Stub::Inspect, request, deadline));
  return Inspection{FromMessage<ArchiveSummary>(response.summary()),
                    response.pod_checkpoint_json()};
}

Result<Verification> Client::Verify(const std::string& archive, Deadline deadline) {
  v1::VerifyRequest request;
  request.set_archive(archive);
  CRYOPOD_ASSIGN_OR_RETURN(const v1::VerifyResponse response,
                           channel_->Call(&Stub::Verify, request, deadline));
  return Verification{response.digest(), response.blobs(), response.size_bytes()};
}

Status Client::Delete(const std::string& archive, Deadline deadline) {
  v1::DeleteRequest request;
  request.set_archive(archive);
  return channel_->Call(&Stub::Delete, request, deadline).status();
}

Status Client::Export(const std::string& archive, const std::string& container,
                      const ByteSink& sink, Deadline deadline) {
  v1::ExportRequest request;
  request.set_archive(archive);
  request.set_container(container);
  return channel_->Receive<v1::ExportChunk>(
      &Stub::Export, request, deadline,
      [&sink](const v1::ExportChunk& chunk) { return sink(chunk.data()); });
}

Result<ArchiveSummary> Client::Import(const std::string& name, int fd, Deadline deadline) {
  grpc::ClientContext context;
  SetDeadline(deadline, &context);
  v1::ImportResponse response;
  const auto writer = channel_->stub->Import(&context, &response);
  v1::ImportChunk chunk;
  chunk.set_name(name);
  for (;;) {
    const Status read = ReadChunk(fd, deadline, chunk.mutable_data());
    if (!read.ok()) {
      context.TryCancel();
      writer->Finish();
      return read;
    }
    const bool ended = chunk.data().empty();
    // The first message goes out even for an empty file, since it holds the name. A write that
    // fails means that the agent has answered already.
    if ((!ended || !chunk.name().empty()) && !writer->Write(chunk)) break;
    if (ended) break;
    chunk.clear_name();
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return channel_->FromGrpc(status, context);
  return FromMessage<ArchiveSummary>(response.archive());
}

Result<NodeInfo> Client::DescribeNode(Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const v1::NodeInfoResponse response,
                           channel_->Call(&Stub::NodeInfo, v1::NodeInfoRequest(), deadline));
  return FromMessage<NodeInfo>(response);
}

Result<std::string> Client::Metrics(Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const v1::MetricsResponse response,
                           channel_->Call(&Stub::Metrics, v1::MetricsRequest(), deadline));
  return response.text();
}

}  // namespace cryopod::api
