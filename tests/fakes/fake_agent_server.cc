#include "tests/fakes/fake_agent_server.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "agent/api/cryopod.grpc.pb.h"
#include "agent/api/grpc_status.h"
#include "agent/api/messages.h"

namespace cryopod::test {
namespace {

using grpc::ServerContext;

// Small enough that every export of a test takes several messages.
constexpr size_t kExportChunkBytes = 64 << 10;

struct StoredArchive {
  api::ArchiveSummary summary;
  std::string bytes;
  std::string pod_checkpoint_json;
};

template <typename Message>
void AddPhases(const std::vector<api::Phase>& phases, Message* message) {
  for (const api::Phase& phase : phases) {
    v1::Phase* added = message->add_phases();
    added->set_name(phase.name);
    added->set_duration_us(phase.duration_us);
  }
}

void ToMessage(const api::CheckpointResult& result, v1::CheckpointResult* message) {
  message->set_archive(result.archive);
  message->set_digest(result.digest);
  message->set_size_bytes(result.size_bytes);
  message->set_captured_bytes(result.captured_bytes);
  message->set_freeze_us(result.freeze_us);
  AddPhases(result.phases, message);
  for (const std::string& lack : result.lacks) message->add_lacks(lack);
  for (const std::string& file : result.external_files) message->add_external_files(file);
  message->set_source_stopped(result.source_stopped);
}

void ToMessage(const api::RestoreResult& result, v1::RestoreResult* message) {
  message->set_pod_sandbox_id(result.pod_sandbox_id);
  for (const api::RestoredContainer& container : result.containers) {
    v1::RestoredContainer* added = message->add_containers();
    added->set_name(container.name);
    added->set_container_id(container.container_id);
    added->set_pid(container.pid);
  }
  AddPhases(result.phases, message);
  message->set_outcome(result.outcome);
}

void ToMessage(const api::ArchiveSummary& summary, v1::ArchiveSummary* message) {
  message->set_name(summary.name);
  message->set_digest(summary.digest);
  message->set_namespace_(summary.pod_namespace);
  message->set_pod(summary.pod);
  message->set_pod_uid(summary.pod_uid);
  message->set_created(summary.created);
  message->set_size_bytes(summary.size_bytes);
  for (const std::string& container : summary.containers) message->add_containers(container);
  message->set_damage(summary.damage);
}

template <typename Event>
Event ToEvent(const api::Progress& progress) {
  Event event;
  event.set_operation_id(progress.operation_id);
  event.set_stage(progress.stage);
  event.set_container(progress.container);
  event.set_bytes_done(progress.bytes_done);
  event.set_bytes_total(progress.bytes_total);
  return event;
}

grpc::Status NoArchive(const std::string& name, ServerContext* context) {
  return api::ToGrpc(Status(Code::kNotFound, "no archive \"" + name + "\""), *context);
}

struct Failure {
  Status status;
  std::string newer_reason;
};

}  // namespace

class FakeAgentServer::Service final : public v1::PodCheckpoints::Service {
 public:
  void Serve(const std::string& socket_path) {
    ::unlink(socket_path.c_str());
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) std::abort();
  }

  void Stop() {
    stopping_ = true;
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    server_->Wait();
  }

  grpc::Status Checkpoint(ServerContext* context, const v1::CheckpointRequest* request,
                          grpc::ServerWriter<v1::CheckpointEvent>* writer) override {
    if (grpc::Status status = Enter(context, "Checkpoint"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    checkpoint_request_ = {request->pod(), request->archive(), request->stop_source(),
                           request->without_volumes(),
                           std::chrono::seconds(request->timeout_seconds())};
    return Stream("Checkpoint", checkpoint_events_, checkpoint_result_, context, writer);
  }

  grpc::Status Restore(ServerContext* context, const v1::RestoreRequest* request,
                       grpc::ServerWriter<v1::RestoreEvent>* writer) override {
    if (grpc::Status status = Enter(context, "Restore"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    restore_request_ = {request->archive(), request->request_json(),
                        request->request_from_archive(), request->runtime_handler(),
                        std::chrono::seconds(request->timeout_seconds())};
    return Stream("Restore", restore_events_, restore_result_, context, writer);
  }

  grpc::Status List(ServerContext* context, const v1::ListRequest* request,
                    v1::ListResponse* response) override {
    if (grpc::Status status = Enter(context, "List"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    for (const auto& [name, archive] : archives_) {
      const bool wanted =
          request->namespace_().empty() || request->namespace_() == archive.summary.pod_namespace;
      if (wanted) ToMessage(archive.summary, response->add_archives());
    }
    for (const api::RunningOperation& operation : operations_) {
      v1::RunningOperation* added = response->add_operations();
      added->set_operation_id(operation.operation_id);
      added->set_kind(operation.kind);
      added->set_pod(operation.pod);
      added->set_stage(operation.stage);
    }
    return grpc::Status::OK;
  }

  grpc::Status Inspect(ServerContext* context, const v1::InspectRequest* request,
                       v1::InspectResponse* response) override {
    if (grpc::Status status = Enter(context, "Inspect"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = archives_.find(request->archive());
    if (it == archives_.end()) return NoArchive(request->archive(), context);
    ToMessage(it->second.summary, response->mutable_summary());
    response->set_pod_checkpoint_json(it->second.pod_checkpoint_json);
    return grpc::Status::OK;
  }

  grpc::Status Verify(ServerContext* context, const v1::VerifyRequest* request,
                      v1::VerifyResponse* response) override {
    if (grpc::Status status = Enter(context, "Verify"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = archives_.find(request->archive());
    if (it == archives_.end()) return NoArchive(request->archive(), context);
    response->set_digest(it->second.summary.digest);
    response->set_blobs(5);
    response->set_size_bytes(it->second.summary.size_bytes);
    return grpc::Status::OK;
  }

  grpc::Status Delete(ServerContext* context, const v1::DeleteRequest* request,
                      v1::DeleteResponse*) override {
    if (grpc::Status status = Enter(context, "Delete"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    return archives_.erase(request->archive()) > 0 ? grpc::Status::OK
                                                   : NoArchive(request->archive(), context);
  }

  grpc::Status Export(ServerContext* context, const v1::ExportRequest* request,
                      grpc::ServerWriter<v1::ExportChunk>* writer) override {
    if (grpc::Status status = Enter(context, "Export"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = archives_.find(request->archive());
    if (it == archives_.end()) return NoArchive(request->archive(), context);
    exported_container_ = request->container();
    const std::string& bytes = it->second.bytes;
    v1::ExportChunk chunk;
    for (size_t offset = 0; offset < bytes.size(); offset += kExportChunkBytes) {
      chunk.set_data(bytes.substr(offset, kExportChunkBytes));
      if (!writer->Write(chunk)) return grpc::Status::CANCELLED;
    }
    return Ending("Export", context);
  }

  grpc::Status Import(ServerContext* context, grpc::ServerReader<v1::ImportChunk>* reader,
                      v1::ImportResponse* response) override {
    if (grpc::Status status = Enter(context, "Import"); !status.ok()) return status;
    StoredArchive archive;
    v1::ImportChunk chunk;
    while (reader->Read(&chunk)) {
      if (!chunk.name().empty()) archive.summary.name = chunk.name();
      archive.bytes += chunk.data();
    }
    if (context->IsCancelled()) return grpc::Status::CANCELLED;
    const std::lock_guard lock(mutex_);
    if (archives_.count(archive.summary.name) > 0) {
      const std::string named = "archive \"" + archive.summary.name + "\"";
      return api::ToGrpc(Status(Code::kAlreadyExists, named + " exists already"), *context);
    }
    archive.summary.size_bytes = archive.bytes.size();
    ToMessage(archive.summary, response->mutable_archive());
    archives_[archive.summary.name] = archive;
    return grpc::Status::OK;
  }

  grpc::Status NodeInfo(ServerContext* context, const v1::NodeInfoRequest*,
                        v1::NodeInfoResponse* response) override {
    if (grpc::Status status = Enter(context, "NodeInfo"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    response->set_agent_version(node_.agent_version);
    response->set_criu_version(node_.criu_version);
    response->set_runtime_name(node_.runtime_name);
    response->set_runtime_version(node_.runtime_version);
    response->set_kernel(node_.kernel);
    response->set_cgroup_version(node_.cgroup_version);
    response->set_architecture(node_.architecture);
    for (const std::string& problem : node_.problems) response->add_problems(problem);
    for (const api::Requirement& requirement : node_.requirements) {
      api::ToMessage(requirement, response->add_requirements());
    }
    return grpc::Status::OK;
  }

  grpc::Status Metrics(ServerContext* context, const v1::MetricsRequest*,
                       v1::MetricsResponse* response) override {
    if (grpc::Status status = Enter(context, "Metrics"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    response->set_text(metrics_);
    return grpc::Status::OK;
  }

  mutable std::mutex mutex_;
  std::map<std::string, StoredArchive> archives_;
  std::vector<api::RunningOperation> operations_;
  std::vector<api::Progress> checkpoint_events_;
  api::CheckpointResult checkpoint_result_;
  std::vector<api::Progress> restore_events_;
  api::RestoreResult restore_result_;
  api::NodeInfo node_;
  std::string metrics_;
  std::map<std::string, Failure> failures_;
  std::map<std::string, Status> endings_;
  std::set<std::string> hanging_;
  bool withholds_results_ = false;
  std::vector<std::string> calls_;
  api::CheckpointRequest checkpoint_request_;
  api::RestoreRequest restore_request_;
  std::string exported_container_;

 private:
  grpc::Status Enter(ServerContext* context, const std::string& method) {
    bool hangs = false;
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(method);
      hangs = hanging_.count(method) > 0;
      if (const auto it = failures_.find(method); it != failures_.end()) {
        const Failure failure = std::move(it->second);
        failures_.erase(it);
        if (failure.newer_reason.empty()) return api::ToGrpc(failure.status, *context);
        context->AddTrailingMetadata("cryopod-reason", failure.newer_reason);
        return grpc::Status(static_cast<grpc::StatusCode>(failure.status.code()),
                            failure.status.message());
      }
    }
    while (hangs && !context->IsCancelled() && !stopping_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return hangs ? grpc::Status::CANCELLED : grpc::Status::OK;
  }

  grpc::Status Ending(const std::string& method, ServerContext* context) const {
    const auto it = endings_.find(method);
    return it != endings_.end() ? api::ToGrpc(it->second, *context) : grpc::Status::OK;
  }

  template <typename Event, typename Result>
  grpc::Status Stream(const std::string& method, const std::vector<api::Progress>& events,
                      const Result& result, ServerContext* context,
                      grpc::ServerWriter<Event>* writer) const {
    for (const api::Progress& progress : events) writer->Write(ToEvent<Event>(progress));
    if (grpc::Status status = Ending(method, context); !status.ok()) return status;
    Event last;
    if (!withholds_results_) ToMessage(result, last.mutable_result());
    writer->Write(last);
    return grpc::Status::OK;
  }

  std::atomic<bool> stopping_ = false;
  std::unique_ptr<grpc::Server> server_;
};

FakeAgentServer::FakeAgentServer(const std::string& socket_path)
    : service_(std::make_unique<Service>()) {
  service_->Serve(socket_path);
}

FakeAgentServer::~FakeAgentServer() { service_->Stop(); }

void FakeAgentServer::AddArchive(const api::ArchiveSummary& summary, const std::string& bytes,
                                 const std::string& pod_checkpoint_json) {
  const std::lock_guard lock(service_->mutex_);
  service_->archives_[summary.name] = {summary, bytes, pod_checkpoint_json};
}

void FakeAgentServer::AddOperation(const api::RunningOperation& operation) {
  const std::lock_guard lock(service_->mutex_);
  service_->operations_.push_back(operation);
}

void FakeAgentServer::SetCheckpoint(const std::vector<api::Progress>& events,
                                    const api::CheckpointResult& result) {
  const std::lock_guard lock(service_->mutex_);
  service_->checkpoint_events_ = events;
  service_->checkpoint_result_ = result;
}

void FakeAgentServer::SetRestore(const std::vector<api::Progress>& events,
                                 const api::RestoreResult& result) {
  const std::lock_guard lock(service_->mutex_);
  service_->restore_events_ = events;
  service_->restore_result_ = result;
}

void FakeAgentServer::SetNode(const api::NodeInfo& node) {
  const std::lock_guard lock(service_->mutex_);
  service_->node_ = node;
}

void FakeAgentServer::SetMetrics(const std::string& text) {
  const std::lock_guard lock(service_->mutex_);
  service_->metrics_ = text;
}

void FakeAgentServer::FailNext(const std::string& method, Code code, const std::string& message,
                               Reason reason) {
  const std::lock_guard lock(service_->mutex_);
  service_->failures_[method] = {Status(code, message, reason), ""};
}

void FakeAgentServer::FailNextAsNewer(const std::string& method, Code code,
                                      const std::string& message, const std::string& word) {
  const std::lock_guard lock(service_->mutex_);
  service_->failures_[method] = {Status(code, message), word};
}

void FakeAgentServer::FailAtEnd(const std::string& method, Code code, const std::string& message,
                                Reason reason) {
  const std::lock_guard lock(service_->mutex_);
  service_->endings_[method] = Status(code, message, reason);
}

void FakeAgentServer::Hang(const std::string& method) {
  const std::lock_guard lock(service_->mutex_);
  service_->hanging_.insert(method);
}

void FakeAgentServer::WithholdResults() {
  const std::lock_guard lock(service_->mutex_);
  service_->withholds_results_ = true;
}

std::vector<std::string> FakeAgentServer::calls() const {
  const std::lock_guard lock(service_->mutex_);
  return service_->calls_;
}

api::CheckpointRequest FakeAgentServer::checkpoint_request() const {
  const std::lock_guard lock(service_->mutex_);
  return service_->checkpoint_request_;
}

api::RestoreRequest FakeAgentServer::restore_request() const {
  const std::lock_guard lock(service_->mutex_);
  return service_->restore_request_;
}

bool FakeAgentServer::has_archive(const std::string& name) const {
  const std::lock_guard lock(service_->mutex_);
  return service_->archives_.count(name) > 0;
}

std::string FakeAgentServer::archive_bytes(const std::string& name) const {
  const std::lock_guard lock(service_->mutex_);
  return service_->archives_.at(name).bytes;
}

std::string FakeAgentServer::exported_container() const {
  const std::lock_guard lock(service_->mutex_);
  return service_->exported_container_;
}

}  // namespace cryopod::test
