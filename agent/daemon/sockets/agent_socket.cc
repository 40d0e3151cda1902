#include "agent/daemon/sockets/agent_socket.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <utility>

#include "agent/api/cryopod.grpc.pb.h"
#include "agent/api/grpc_status.h"
#include "agent/api/messages.h"
#include "agent/archive/store/archive_store.h"
#include "agent/archive/store/export.h"
#include "agent/daemon/archives/archive_transfer.h"
#include "agent/daemon/observe/node_info.h"
#include "agent/daemon/observe/node_metrics.h"
#include "agent/daemon/operations/record_metrics.h"
#include "agent/daemon/sockets/reader_socket.h"

namespace cryopod::daemon {
namespace {

using api::ToGrpc;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kVerifyTimeout{3600};
constexpr milliseconds kNewsInterval{200};
constexpr seconds kShutdownTimeout{2};

// A stranger's bytes may be in it, and a protobuf string must be UTF-8.
std::string Printable(std::string text) {
  for (char& byte : text) {
    if (byte < 0x20 || byte > 0x7e) byte = '?';
  }
  return text;
}

v1::ArchiveSummary Summarize(const archive::Archive& archive) {
  v1::ArchiveSummary summary;
  const archive::PodCheckpoint& checkpoint = archive.checkpoint();
  summary.set_name(archive.name());
  summary.set_digest(archive.digest());
  summary.set_namespace_(checkpoint.pod_namespace);
  summary.set_pod(checkpoint.pod_name);
  summary.set_pod_uid(checkpoint.pod_uid);
  summary.set_created(checkpoint.created);
  summary.set_size_bytes(archive.size_bytes());
  for (const auto& container : checkpoint.containers) summary.add_containers(container.name);
  return summary;
}

Result<archive::Archive> OpenNamed(const settings::AgentSettings& config, const std::string& text) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference reference,
                           archive::ParseArchiveReference(text));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  return store.OpenArchive(reference);
}

void FillResult(const jobs::JobResult& from, v1::CheckpointResult& to) {
  to.set_archive(from.archive);
  to.set_digest(from.digest);
  to.set_size_bytes(from.size_bytes);
  to.set_captured_bytes(from.captured_bytes);
  to.set_freeze_us(from.freeze_us);
  to.set_source_stopped(from.source_killed);
  for (const auto& lacks : from.lacks) to.add_lacks(lacks);
  for (const auto& file : from.external_files) to.add_external_files(file);
  for (const auto& phase : from.phases) {
    v1::Phase* const out = to.add_phases();
    out->set_name(phase.name);
    out->set_duration_us(phase.duration_us);
  }
}

void FillResult(const RestoreReport& from, v1::RestoreResult& to) {
  to.set_pod_sandbox_id(from.sandbox_id);
  to.set_outcome("restored");
  for (const RestoreReport::Container& container : from.containers) {
    v1::RestoredContainer* const out = to.add_containers();
    out->set_name(container.name);
    out->set_container_id(container.id);
    out->set_pid(static_cast<uint32_t>(container.pid));
  }
  for (const auto& phase : from.phases) {
    v1::Phase* const out = to.add_phases();
    out->set_name(phase.name);
    out->set_duration_us(phase.duration_us);
  }
}

}  // namespace

struct AgentServer::Service final : v1::PodCheckpoints::Service {
  explicit Service(const Parts& parts_in)
      : parts(parts_in), node_metrics(parts.config, parts.runtime, parts.table, parts.metrics) {}

  // The operation goes on when the caller goes away.
  grpc::Status Checkpoint(grpc::ServerContext* context, const v1::CheckpointRequest* request,
                          grpc::ServerWriter<v1::CheckpointEvent>* writer) override {
    CheckpointOptions options;
    options.pod = request->pod();
    options.archive = request->archive();
    options.stop_source = request->stop_source();
    options.without_volumes = request->without_volumes();
    options.timeout_s = request->timeout_seconds();
    Result<std::shared_ptr<Operation>> started = parts.checkpoints.Start(options);
    if (!started.ok()) return ToGrpc(started.status(), *context);
    const Operation& operation = **started;
    for (Operation::News news; !news.finished;) {
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      news = operation.WaitForNews(news.seen, Deadline::After(kNewsInterval));
      for (const jobs::JobEvent& event : news.events) {
        v1::CheckpointEvent out;
        out.set_operation_id(operation.id());
        out.set_stage(event.stage);
        out.set_container(event.container);
        out.set_bytes_done(event.bytes_done);
        out.set_bytes_total(event.bytes_total);
        writer->Write(out);
      }
    }
    if (!operation.result().status.ok()) return ToGrpc(operation.result().status, *context);
    v1::CheckpointEvent last;
    last.set_operation_id(operation.id());
    FillResult(operation.result(), *last.mutable_result());
    writer->Write(last);
    return grpc::Status::OK;
  }

  grpc::Status Restore(grpc::ServerContext* context, const v1::RestoreRequest* request,
                       grpc::ServerWriter<v1::RestoreEvent>* writer) override {
    RestoreOptions options;
    options.archive = request->archive();
    options.request_json = request->request_json();
    options.request_from_archive = request->request_from_archive();
    options.runtime_handler = request->runtime_handler();
    options.timeout_s = request->timeout_seconds();
    const auto report = [writer](const std::string& stage, const std::string& container) {
      v1::RestoreEvent event;
      event.set_stage(stage);
      event.set_container(container);
      writer->Write(event);
    };
    parts.metrics.BeginOperation(metrics::Operation::kRestore);
    const auto began = Deadline::Clock::now();
    const Result<RestoreReport> restored =
        RestorePod({parts.config, parts.runtime, parts.table}, options, report);
    RecordRestore(parts.metrics, restored, Deadline::Clock::now() - began);
    if (!restored.ok()) return ToGrpc(restored.status(), *context);
    v1::RestoreEvent last;
    FillResult(*restored, *last.mutable_result());
    writer->Write(last);
    return grpc::Status::OK;
  }

  grpc::Status List(grpc::ServerContext* context, const v1::ListRequest* request,
                    v1::ListResponse* response) override {
    const Result<archive::ArchiveStore> store =
        archive::ArchiveStore::Open(parts.config.store_root());
    if (!store.ok()) return ToGrpc(store.status(), *context);
    const Result<std::vector<std::string>> names = store->List();
    if (!names.ok()) return ToGrpc(names.status(), *context);
    for (const std::string& name : *names) {
      const Result<archive::Archive> archive = store->OpenArchive({name, ""});
      if (!archive.ok()) {
        v1::ArchiveSummary* const damaged = response->add_archives();
        damaged->set_name(name);
        damaged->set_damage(Printable(archive.status().message()));
      } else if (request->namespace_().empty() ||
                 request->namespace_() == archive->checkpoint().pod_namespace) {
        *response->add_archives() = Summarize(*archive);
      }
    }
    for (const std::shared_ptr<Operation>& operation : parts.table.List()) {
      v1::RunningOperation* const out = response->add_operations();
      out->set_operation_id(operation->id());
      out->set_kind(operation->kind() == OperationKind::kCheckpoint ? "checkpoint" : "restore");
      out->set_pod(operation->pod());
      out->set_stage(operation->stage());
    }
    return grpc::Status::OK;
  }

  grpc::Status Inspect(grpc::ServerContext* context, const v1::InspectRequest* request,
                       v1::InspectResponse* response) override {
    const Result<archive::Archive> archive = OpenNamed(parts.config, request->archive());
    if (!archive.ok()) return ToGrpc(archive.status(), *context);
    *response->mutable_summary() = Summarize(*archive);
    response->set_pod_checkpoint_json(archive::ToJson(archive->checkpoint()));
    return grpc::Status::OK;
  }

  grpc::Status Verify(grpc::ServerContext* context, const v1::VerifyRequest* request,
                      v1::VerifyResponse* response) override {
    const Result<archive::Archive> archive = OpenNamed(parts.config, request->archive());
    if (!archive.ok()) return ToGrpc(archive.status(), *context);
    const Result<uint64_t> blobs =
        archive->Verify([](uint64_t, uint64_t) {}, Deadline::After(kVerifyTimeout));
    if (!blobs.ok()) {
      return ToGrpc(blobs.status().While("verifying archive " + archive->name()), *context);
    }
    response->set_digest(archive->digest());
    response->set_blobs(*blobs);
    response->set_size_bytes(archive->size_bytes());
    return grpc::Status::OK;
  }

  grpc::Status Delete(grpc::ServerContext* context, const v1::DeleteRequest* request,
                      v1::DeleteResponse*) override {
    const Result<archive::ArchiveReference> reference =
        archive::ParseArchiveReference(request->archive());
    if (!reference.ok()) return ToGrpc(reference.status(), *context);
    const Result<archive::ArchiveStore> store =
        archive::ArchiveStore::Open(parts.config.store_root());
    if (!store.ok()) return ToGrpc(store.status(), *context);
    if (!reference->digest.empty()) {
      const Result<archive::Archive> archive = store->OpenArchive(*reference);
      if (!archive.ok()) return ToGrpc(archive.status(), *context);
    }
    return ToGrpc(store->Delete(reference->name), *context);
  }

  grpc::Status Export(grpc::ServerContext* context, const v1::ExportRequest* request,
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

  grpc::Status Import(grpc::ServerContext* context, grpc::ServerReader<v1::ImportChunk>* reader,
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
    *response->mutable_archive() = Summarize(*imported);
    return grpc::Status::OK;
  }

  grpc::Status NodeInfo(grpc::ServerContext*, const v1::NodeInfoRequest*,
                        v1::NodeInfoResponse* response) override {
    const cryopod::daemon::NodeInfo info = ReadNodeInfo(parts.config, parts.runtime);
    response->set_agent_version(CRYOPOD_VERSION);
    response->set_criu_version(info.criu_version);
    response->set_runtime_name(info.runtime_name);
    response->set_runtime_version(info.runtime_version);
    response->set_kernel(info.kernel);
    response->set_cgroup_version(info.cgroup_version);
    response->set_architecture(info.architecture);
    for (const std::string& problem : info.problems) response->add_problems(problem);
    for (const api::Requirement& requirement : info.requirements) {
      api::ToMessage(requirement, response->add_requirements());
    }
    return grpc::Status::OK;
  }

  grpc::Status Metrics(grpc::ServerContext*, const v1::MetricsRequest*,
                       v1::MetricsResponse* response) override {
    response->set_text(node_metrics.Collect());
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
