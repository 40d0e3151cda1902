#include "agent/daemon/sockets/agent_socket.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <utility>

#include "agent/api/cryopod.grpc.pb.h"
#include "agent/api/messages.h"
#include "agent/daemon/archives/archive_transfer.h"
#include "agent/daemon/observe/node_info.h"
#include "agent/daemon/observe/node_metrics.h"
#include "agent/daemon/sockets/archive_calls.h"
#include "agent/daemon/sockets/operation_calls.h"
#include "agent/daemon/sockets/reader_socket.h"

namespace cryopod::daemon {
namespace {

using api::ToGrpc;
using grpc::ServerContext;

constexpr std::chrono::seconds kShutdownTimeout{2};

}  // namespace

// Values in, values out: what a call does stands in operation_calls, archive_calls and below.
struct AgentServer::Service final : v1::PodCheckpoints::Service {
  using EventWriter = grpc::ServerWriter<v1::OperationEvent>;

  explicit Service(const Parts& parts_in)
      : parts(parts_in),
        node_metrics(parts.config, parts.runtime, parts.operations, parts.metrics) {}

  grpc::Status Checkpoint(ServerContext* context, const v1::CheckpointRequest* message,
                          EventWriter* writer) override {
    const auto request = api::FromMessage<api::CheckpointRequest>(*message);
    return Follow(parts.checkpoints.Start({request.operation_id, request.pod, request.archive,
                                           request.stop_source, request.without_volumes,
                                           message->timeout_seconds()}),
                  context, writer);
  }

  grpc::Status Restore(ServerContext* context, const v1::RestoreRequest* message,
                       EventWriter* writer) override {
    const auto request = api::FromMessage<api::RestoreRequest>(*message);
    return Follow(parts.pods.Start({request.operation_id, request.archive, request.request_json,
                                    request.request_from_archive, request.runtime_handler,
                                    message->timeout_seconds()}),
                  context, writer);
  }

  grpc::Status Wait(ServerContext* context, const v1::WaitRequest* request,
                    EventWriter* writer) override {
    return Follow(parts.operations.Find(request->operation_id()), context, writer);
  }

  grpc::Status Cancel(ServerContext* context, const v1::CancelRequest* request,
                      v1::CancelResponse*) override {
    const auto found = parts.operations.Find(request->operation_id());
    return ToGrpc(found.ok() ? (*found)->Cancel() : found.status(), *context);
  }

  grpc::Status Logs(ServerContext* context, const v1::LogsRequest* request,
                    grpc::ServerWriter<v1::LogChunk>* writer) override {
    const auto send = [writer](const std::string& name, std::string_view bytes) {
      v1::LogChunk chunk;
      chunk.set_name(name);
      chunk.set_data(bytes.data(), bytes.size());
      return writer->Write(chunk);
    };
    return ToGrpc(SendLogs(parts.config, parts.operations, request->operation_id(), send),
                  *context);
  }

  grpc::Status List(ServerContext* context, const v1::ListRequest* request,
                    v1::ListResponse* response) override {
    const auto archives = ListArchives(parts.config, request->namespace_());
    if (!archives.ok()) return ToGrpc(archives.status(), *context);
    for (const api::ArchiveSummary& archive : *archives) {
      api::ToMessage(archive, response->add_archives());
    }
    for (const api::Operation& operation :
         DescribeOperations(parts.operations, request->ended_operations())) {
      api::ToMessage(operation, response->add_operations());
    }
    return grpc::Status::OK;
  }

  grpc::Status Inspect(ServerContext* context, const v1::InspectRequest* request,
                       v1::InspectResponse* response) override {
    const Result<api::Inspection> inspected = InspectArchive(parts.config, request->archive());
    if (!inspected.ok()) return ToGrpc(inspected.status(), *context);
    api::ToMessage(inspected->summary, response->mutable_summary());
    response->set_pod_checkpoint_json(inspected->pod_checkpoint_json);
    return grpc::Status::OK;
  }

  grpc::Status Verify(ServerContext* context, const v1::VerifyRequest* request,
                      v1::VerifyResponse* response) override {
    const Result<api::Verification> verified = VerifyArchive(parts.config, request->archive());
    if (!verified.ok()) return ToGrpc(verified.status(), *context);
    response->set_digest(verified->digest);
    response->set_blobs(verified->blobs);
    response->set_size_bytes(verified->size_bytes);
    return grpc::Status::OK;
  }

  grpc::Status Delete(ServerContext* context, const v1::DeleteRequest* request,
                      v1::DeleteResponse*) override {
    return ToGrpc(DeleteArchive(parts.config, request->archive()), *context);
  }

  grpc::Status Export(ServerContext* context, const v1::ExportRequest* request,
                      grpc::ServerWriter<v1::ExportChunk>* writer) override {
    const Result<archive::Archive> archive = OpenNamed(parts.config, request->archive());
    if (!archive.ok()) return ToGrpc(archive.status(), *context);
    const auto sink = [writer](std::string_view bytes) {
      v1::ExportChunk chunk;
      chunk.set_data(bytes.data(), bytes.size());
      return writer->Write(chunk) ? Status() : Status(Code::kCancelled, "the caller went away");
    };
    return ToGrpc(ExportArchive(parts.config, *archive, request->container(), sink), *context);
  }

  grpc::Status Import(ServerContext* context, grpc::ServerReader<v1::ImportChunk>* reader,
                      v1::ImportResponse* response) override {
    v1::ImportChunk chunk;
    if (!reader->Read(&chunk)) {
      return ToGrpc(Status(Code::kInvalidArgument, "the import has no first message"), *context);
    }
    const std::string name = chunk.name();
    Result<archive::Archive> imported = ImportArchive(
        parts.config, name, [&chunk, reader, first = true](std::string& bytes) mutable {
          if (!first && !reader->Read(&chunk)) return false;
          first = false;
          bytes.swap(*chunk.mutable_data());
          return true;
        });
    if (!imported.ok()) return ToGrpc(imported.status(), *context);
    api::ToMessage(Summarize(*imported), response->mutable_archive());
    return grpc::Status::OK;
  }

  grpc::Status NodeInfo(ServerContext*, const v1::NodeInfoRequest*,
                        v1::NodeInfoResponse* response) override {
    api::ToMessage(ReadNodeInfo(parts.config, parts.runtime), response);
    return grpc::Status::OK;
  }

  grpc::Status Metrics(ServerContext*, const v1::MetricsRequest*,
                       v1::MetricsResponse* response) override {
    response->set_text(node_metrics.Collect());
    return grpc::Status::OK;
  }

  grpc::Status Follow(const Result<std::shared_ptr<Operation>>& started, ServerContext* context,
                      EventWriter* writer) {
    if (!started.ok()) return ToGrpc(started.status(), *context);
    const Operation& operation = **started;
    const auto write = [writer](const api::Progress& progress) {
      v1::OperationEvent event;
      api::ToMessage(progress, &event);
      writer->Write(event);
    };
    const Result<api::OperationResult> result =
        FollowOperation(operation, write, [context] { return context->IsCancelled(); });
    if (!result.ok()) {
      return ToGrpc(result.status(), *context,
                    {operation.id(), parts.operations.LogFolder(operation.id())});
    }
    v1::OperationEvent last;
    last.set_operation_id(operation.id());
    if (const auto* checkpoint = std::get_if<api::CheckpointResult>(&*result)) {
      api::ToMessage(*checkpoint, last.mutable_checkpoint());
    } else {
      api::ToMessage(std::get<api::RestoreResult>(*result), last.mutable_restore());
    }
    writer->Write(last);
    return grpc::Status::OK;
  }

  const Parts parts;
  NodeMetrics node_metrics;
};

struct AgentServer::Running {
  explicit Running(const Parts& parts) : service(parts) {}
  Service service;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<ReaderServer> reader;
};

Result<std::unique_ptr<AgentServer>> AgentServer::Start(const Parts& parts) {
  const std::string socket = parts.config.agent_socket();
  ::unlink(socket.c_str());
  auto running = std::make_unique<Running>(parts);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&running->service);
  builder.SetMaxReceiveMessageSize(8 << 20);
  running->server = builder.BuildAndStart();
  if (running->server == nullptr) {
    return Status(Code::kUnavailable, "cannot listen on " + socket);
  }
  if (::chmod(socket.c_str(), 0600) != 0) return ErrnoStatus(errno, "chmod", socket);
  CRYOPOD_ASSIGN_OR_RETURN(running->reader, ReaderServer::Start(parts.config, running->service));
  return std::unique_ptr<AgentServer>(new AgentServer(std::move(running)));
}

AgentServer::AgentServer(std::unique_ptr<Running> running) : running_(std::move(running)) {}

AgentServer::~AgentServer() {
  running_->reader.reset();
  running_->server->Shutdown(std::chrono::system_clock::now() + kShutdownTimeout);
}

}  // namespace cryopod::daemon
