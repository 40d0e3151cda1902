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
#include "agent/api/messages.h"
#include "tests/fakes/locked.h"

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
                          grpc::ServerWriter<v1::OperationEvent>* writer) override {
    if (grpc::Status status = Enter(context, "Checkpoint"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    checkpoint_request_ = api::FromMessage<api::CheckpointRequest>(*request);
    return Stream("Checkpoint", checkpoint_events_, checkpoint_result_, context, writer);
  }

  grpc::Status Restore(ServerContext* context, const v1::RestoreRequest* request,
                       grpc::ServerWriter<v1::OperationEvent>* writer) override {
    if (grpc::Status status = Enter(context, "Restore"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    restore_request_ = api::FromMessage<api::RestoreRequest>(*request);
    return Stream("Restore", restore_events_, restore_result_, context, writer);
  }

  // Of the one operation that it has: the checkpoint.
  grpc::Status Wait(ServerContext* context, const v1::WaitRequest* request,
                    grpc::ServerWriter<v1::OperationEvent>* writer) override {
    if (grpc::Status status = Enter(context, "Wait " + request->operation_id()); !status.ok()) {
      return status;
    }
    const std::lock_guard lock(mutex_);
    return Stream("Wait", checkpoint_events_, checkpoint_result_, context, writer);
  }

  grpc::Status Cancel(ServerContext* context, const v1::CancelRequest* request,
                      v1::CancelResponse*) override {
    return Enter(context, "Cancel " + request->operation_id());
  }

  grpc::Status Logs(ServerContext* context, const v1::LogsRequest* request,
                    grpc::ServerWriter<v1::LogChunk>* writer) override {
    if (grpc::Status status = Enter(context, "Logs " + request->operation_id()); !status.ok()) {
      return status;
    }
    const std::lock_guard lock(mutex_);
    for (const auto& [name, text] : logs_) {
      v1::LogChunk chunk;
      chunk.set_name(name);
      chunk.set_data(text);
      writer->Write(chunk);
    }
    return Ending("Logs", context);
  }

  grpc::Status List(ServerContext* context, const v1::ListRequest* request,
                    v1::ListResponse* response) override {
    if (grpc::Status status = Enter(context, "List"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    for (const auto& [name, archive] : archives_) {
      const bool wanted =
          request->namespace_().empty() || request->namespace_() == archive.summary.pod_namespace;
      if (wanted) api::ToMessage(archive.summary, response->add_archives());
    }
    for (const api::Operation& operation : operations_) {
      if (operation.state == "running" || request->ended_operations()) {
        api::ToMessage(operation, response->add_operations());
      }
    }
    return grpc::Status::OK;
  }

  grpc::Status Inspect(ServerContext* context, const v1::InspectRequest* request,
                       v1::InspectResponse* response) override {
    if (grpc::Status status = Enter(context, "Inspect"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = archives_.find(request->archive());
    if (it == archives_.end()) return NoArchive(request->archive(), context);
    api::ToMessage(it->second.summary, response->mutable_summary());
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
    api::ToMessage(archive.summary, response->mutable_archive());
    archives_[archive.summary.name] = archive;
    return grpc::Status::OK;
  }

  grpc::Status NodeInfo(ServerContext* context, const v1::NodeInfoRequest*,
                        v1::NodeInfoResponse* response) override {
    if (grpc::Status status = Enter(context, "NodeInfo"); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    api::ToMessage(node_, response);
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
  std::vector<api::Operation> operations_;
  std::map<std::string, std::string> logs_;  // by name
  std::vector<api::Progress> checkpoint_events_;
  api::CheckpointResult checkpoint_result_;
  std::vector<api::Progress> restore_events_;
  api::RestoreResult restore_result_;
  api::NodeInfo node_;
  std::string metrics_;
  std::map<std::string, Failure> failures_;
  std::map<std::string, std::pair<Status, api::FailureDetails>> endings_;
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
    if (it == endings_.end()) return grpc::Status::OK;
    return api::ToGrpc(it->second.first, *context, it->second.second);
  }

  static void SetResult(const api::CheckpointResult& result, v1::OperationEvent* event) {
    api::ToMessage(result, event->mutable_checkpoint());
  }
  static void SetResult(const api::RestoreResult& result, v1::OperationEvent* event) {
    api::ToMessage(result, event->mutable_restore());
  }

  template <typename Result>
  grpc::Status Stream(const std::string& method, const std::vector<api::Progress>& events,
                      const Result& result, ServerContext* context,
                      grpc::ServerWriter<v1::OperationEvent>* writer) const {
    for (const api::Progress& progress : events) {
      v1::OperationEvent event;
      api::ToMessage(progress, &event);
      writer->Write(event);
    }
    if (grpc::Status status = Ending(method, context); !status.ok()) return status;
    v1::OperationEvent last;
    if (!withholds_results_) SetResult(result, &last);
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
  Locked(*service_)->archives_[summary.name] = {summary, bytes, pod_checkpoint_json};
}

void FakeAgentServer::AddOperation(const api::Operation& operation) {
  Locked(*service_)->operations_.push_back(operation);
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

void FakeAgentServer::SetNode(const api::NodeInfo& node) { Locked(*service_)->node_ = node; }
void FakeAgentServer::SetMetrics(const std::string& text) { Locked(*service_)->metrics_ = text; }

void FakeAgentServer::FailNext(const std::string& method, Code code, const std::string& message,
                               Reason reason) {
  Locked(*service_)->failures_[method] = {Status(code, message, reason), ""};
}

void FakeAgentServer::FailNextAsNewer(const std::string& method, Code code,
                                      const std::string& message, const std::string& word) {
  Locked(*service_)->failures_[method] = {Status(code, message), word};
}

void FakeAgentServer::FailAtEnd(const std::string& method, const Status& status,
                                const api::FailureDetails& details) {
  Locked(*service_)->endings_[method] = {status, details};
}

void FakeAgentServer::AddLog(const std::string& name, const std::string& text) {
  Locked(*service_)->logs_[name] = text;
}

void FakeAgentServer::Hang(const std::string& method) {
  Locked(*service_)->hanging_.insert(method);
}

void FakeAgentServer::WithholdResults() { Locked(*service_)->withholds_results_ = true; }
std::vector<std::string> FakeAgentServer::calls() const { return Locked(*service_)->calls_; }

api::CheckpointRequest FakeAgentServer::checkpoint_request() const {
  return Locked(*service_)->checkpoint_request_;
}

api::RestoreRequest FakeAgentServer::restore_request() const {
  return Locked(*service_)->restore_request_;
}

bool FakeAgentServer::has_archive(const std::string& name) const {
  return Locked(*service_)->archives_.count(name) > 0;
}

std::string FakeAgentServer::archive_bytes(const std::string& name) const {
  return Locked(*service_)->archives_.at(name).bytes;
}

std::string FakeAgentServer::exported_container() const {
  return Locked(*service_)->exported_container_;
}

}  // namespace cryopod::test
