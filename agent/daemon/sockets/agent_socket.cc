#include "agent/daemon/sockets/agent_socket.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "agent/api/cryopod.grpc.pb.h"
#include "agent/api/messages.h"
#include "agent/archive/store/export_container.h"
#include "agent/archive/store/oci_archive.h"
#include "agent/daemon/archives/archive_access.h"
#include "agent/daemon/observe/node_metrics.h"
#include "agent/jobs/kept_logs.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::daemon {
namespace {

using api::ToGrpc;
using grpc::ServerContext;

// How soon it is seen that a caller is gone.
constexpr std::chrono::milliseconds kNewsInterval{200};
// Of all of an archive's bytes.
constexpr std::chrono::seconds kArchiveTimeout{3600};
// Below what one message of gRPC may hold.
constexpr size_t kLogChunkBytes = size_t{1} << 20;

std::vector<api::Phase> ToApi(const std::vector<archive::PhaseTiming>& phases) {
  std::vector<api::Phase> out;
  out.reserve(phases.size());
  for (const archive::PhaseTiming& phase : phases) out.push_back({phase.name, phase.duration_us});
  return out;
}

api::CheckpointResult ToApi(const jobs::CheckpointResult& from) {
  api::CheckpointResult to;
  to.archive = from.archive;
  to.digest = from.digest;
  to.size_bytes = from.size_bytes;
  to.captured_bytes = from.captured_bytes;
  to.freeze_us = from.freeze_us;
  to.phases = ToApi(from.phases);
  to.lacks = from.lacks;
  to.external_files = from.external_files;
  to.source_stopped = from.source_killed;
  return to;
}

api::RestoreResult ToApi(const RestoreReport& from) {
  api::RestoreResult to;
  to.pod_sandbox_id = from.sandbox_id;
  for (const RestoredContainer& container : from.containers) {
    to.containers.push_back({container.name, container.id, static_cast<uint32_t>(container.pid)});
  }
  to.phases = ToApi(from.phases);
  to.outcome = "restored";
  to.warnings = from.warnings;
  return to;
}

api::Operation Describe(const OperationRegister& operations, const Operation& operation) {
  const OperationFacts& facts = operation.facts();
  api::Operation described;
  described.operation_id = facts.id;
  described.kind = facts.kind == jobs::JobKind::kCheckpoint ? "checkpoint" : "restore";
  described.pod = facts.pod;
  described.archive = facts.archive;
  described.began = FormatTime(facts.began.time_since_epoch());
  described.timeout_seconds = static_cast<uint32_t>(facts.timeout.count());
  described.log_folder = operations.LogFolder(facts.id);
  if (!operation.finished()) {
    const jobs::JobEvent progress = operation.progress();
    described.state = "running";
    described.stage = progress.stage;
    described.container = progress.container;
    described.bytes_done = progress.bytes_done;
    described.bytes_total = progress.bytes_total;
    return described;
  }
  const Status& status = operation.outcome().status;
  described.state = status.ok()                         ? "succeeded"
                    : status.code() == Code::kCancelled ? "cancelled"
                                                        : "failed";
  if (status.ok()) return described;
  described.code = CodeName(status.code());
  described.reason = ReasonName(status.reason());
  described.message = status.message();
  return described;
}

// Those that run and those that this agent does not understand; with `ended` those that are
// remembered, too.
std::vector<api::Operation> DescribeOperations(const OperationRegister& operations, bool ended) {
  std::vector<api::Operation> list;
  for (const auto& operation : operations.ListRunning()) {
    list.push_back(Describe(operations, *operation));
  }
  for (const ForeignJob& job : operations.ListForeign()) {
    api::Operation& described = list.emplace_back();
    described.operation_id = job.id;
    described.kind = "unknown";
    described.state = "foreign";
    described.stage = "not understood";
    described.message = job.why;
  }
  if (!ended) return list;
  for (const auto& operation : operations.ListEnded()) {
    list.push_back(Describe(operations, *operation));
  }
  return list;
}

Status SendLogs(const AgentParts& agent, const std::string& operation_id,
                grpc::ServerWriter<v1::LogChunk>* writer) {
  CRYOPOD_RETURN_IF_ERROR(agent.operations.Find(operation_id).status());
  const std::vector<jobs::LogFile> logs =
      jobs::FindLogs(agent.job_dir(operation_id), agent.config.state_dir, operation_id);
  if (logs.empty()) {
    return Status(Code::kNotFound, "operation " + operation_id +
                                       " has no logs: they are kept of the last " +
                                       std::to_string(jobs::kKeptLogsMax) + " that failed in CRIU");
  }
  for (const jobs::LogFile& log : logs) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, jobs::ReadLog(log.path));
    for (size_t at = 0; at == 0 || at < text.size(); at += kLogChunkBytes) {
      v1::LogChunk chunk;
      chunk.set_name(log.name);
      chunk.set_data(text.substr(at, kLogChunkBytes));
      if (!writer->Write(chunk)) return Status(Code::kCancelled, "the caller went away");
    }
  }
  return Status();
}

api::ArchiveSummary Summarize(const archive::Archive& archive) {
  const archive::PodCheckpoint& checkpoint = archive.checkpoint();
  api::ArchiveSummary summary;
  summary.name = archive.name();
  summary.digest = archive.digest();
  summary.pod_namespace = checkpoint.pod_namespace;
  summary.pod = checkpoint.pod_name;
  summary.pod_uid = checkpoint.pod_uid;
  summary.created = checkpoint.created;
  summary.size_bytes = archive.size_bytes();
  for (const auto& container : checkpoint.containers) summary.containers.push_back(container.name);
  return summary;
}

// Those of one namespace, or with "" all; one that cannot be read says why.
Result<std::vector<api::ArchiveSummary>> ListArchives(const settings::AgentSettings& config,
                                                      const std::string& pod_namespace) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> names, store.List());
  std::vector<api::ArchiveSummary> list;
  for (const std::string& name : names) {
    const Result<archive::Archive> archive = store.OpenArchive({name, ""});
    if (!archive.ok()) {
      api::ArchiveSummary& damaged = list.emplace_back();
      damaged.name = name;
      // A stranger's bytes may be in it, and a protobuf string must be UTF-8.
      damaged.damage = Printable(archive.status().message());
    } else if (pod_namespace.empty() || pod_namespace == archive->checkpoint().pod_namespace) {
      list.push_back(Summarize(*archive));
    }
  }
  return list;
}

// Spools an oci-archive to disk, beside the store, and imports it under the name that its first
// message tells.
Result<archive::Archive> ReceiveArchive(const settings::AgentSettings& config,
                                        grpc::ServerReader<v1::ImportChunk>* reader) {
  v1::ImportChunk chunk;
  if (!reader->Read(&chunk)) {
    return Status(Code::kInvalidArgument, "the import has no first message");
  }
  const std::string name = chunk.name();
  CRYOPOD_RETURN_IF_ERROR(archive::CheckArchiveName(name));
  CRYOPOD_RETURN_IF_ERROR(CheckForeignArchives(config).While("archive \"" + name + "\""));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  // Without a name in the file system, so that nothing is left of it whatever happens.
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd spool,
                           OpenAt(AT_FDCWD, config.store_root(), O_TMPFILE | O_RDWR, 0600));
  do {
    CRYOPOD_RETURN_IF_ERROR(WriteAll(spool.get(), chunk.data()).While("receiving archive " + name));
  } while (reader->Read(&chunk));
  if (::lseek(spool.get(), 0, SEEK_SET) < 0) return ErrnoStatus(errno, "lseek", "spool");
  return archive::ImportOciArchive(store, name, spool.get(), config.unpack_program(),
                                   Deadline::After(kArchiveTimeout));
}

// The archive as one oci-archive tar, or with `container` that container's checkpoint tar.
Status SendArchive(const settings::AgentSettings& config, const v1::ExportRequest& request,
                   grpc::ServerWriter<v1::ExportChunk>* writer) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::Archive archive, OpenArchive(config, request.archive()));
  const auto sink = [writer](std::string_view bytes) {
    v1::ExportChunk chunk;
    chunk.set_data(bytes.data(), bytes.size());
    return writer->Write(chunk) ? Status() : Status(Code::kCancelled, "the caller went away");
  };
  if (request.container().empty()) return archive::ExportOciArchive(archive, sink);
  const std::string scratch = config.state_dir + "/scratch";
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(scratch, 0700));
  return archive::ExportContainerTar(archive, request.container(), config.unpack_program(), scratch,
                                     sink, Deadline::After(kArchiveTimeout));
}

// Who restores from it, and what can be done about it.
Status InUse(const OperationRegister& operations, const std::string& archive) {
  std::vector<std::string> users;
  for (const auto& operation : operations.ListRunning()) {
    const OperationFacts& facts = operation->facts();
    if (facts.archive != archive || facts.kind == jobs::JobKind::kCheckpoint) continue;
    users.push_back("operation " + facts.id + " of pod " + facts.pod);
  }
  return Status(Code::kFailedPrecondition,
                "archive \"" + archive + "\" is being restored from" +
                    (users.empty() ? "" : " by " + Join(users)) +
                    ": wait until the pod runs, or end the restore with \"cryopodctl cancel\"",
                Reason::kBusy);
}

Status DeleteArchive(const AgentParts& agent, const std::string& archive) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference reference,
                           archive::ParseArchiveReference(archive));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(agent.config.store_root()));
  if (!reference.digest.empty()) CRYOPOD_RETURN_IF_ERROR(store.OpenArchive(reference).status());
  Status deleted = store.Delete(reference.name);
  if (deleted.reason() == Reason::kBusy) return InUse(agent.operations, reference.name);
  return deleted;
}

class Service final : public v1::PodCheckpoints::Service {
 public:
  using EventWriter = grpc::ServerWriter<v1::OperationEvent>;

  Service(const AgentParts& agent, CheckpointOperations& checkpoints, PodRestores& pods)
      : agent_(agent), checkpoints_(checkpoints), pods_(pods), node_metrics_(agent) {}

  grpc::Status Checkpoint(ServerContext* context, const v1::CheckpointRequest* request,
                          EventWriter* writer) override {
    return Follow(checkpoints_.Start(api::FromMessage<api::CheckpointRequest>(*request)), context,
                  writer);
  }

  grpc::Status Restore(ServerContext* context, const v1::RestoreRequest* request,
                       EventWriter* writer) override {
    return Follow(pods_.Start(api::FromMessage<api::RestoreRequest>(*request)), context, writer);
  }

  grpc::Status Wait(ServerContext* context, const v1::WaitRequest* request,
                    EventWriter* writer) override {
    return Follow(agent_.operations.Find(request->operation_id()), context, writer);
  }

  grpc::Status Cancel(ServerContext* context, const v1::CancelRequest* request,
                      v1::CancelResponse*) override {
    const auto found = agent_.operations.Find(request->operation_id());
    return ToGrpc(found.ok() ? (*found)->Cancel() : found.status(), *context);
  }

  grpc::Status Logs(ServerContext* context, const v1::LogsRequest* request,
                    grpc::ServerWriter<v1::LogChunk>* writer) override {
    return ToGrpc(SendLogs(agent_, request->operation_id(), writer), *context);
  }

  grpc::Status List(ServerContext* context, const v1::ListRequest* request,
                    v1::ListResponse* response) override {
    auto archives = ListArchives(agent_.config, request->namespace_());
    if (!archives.ok()) return ToGrpc(archives.status(), *context);
    const api::Listing listing{std::move(archives).value(),
                               DescribeOperations(agent_.operations, request->ended_operations())};
    api::ToMessage(listing, response);
    return grpc::Status::OK;
  }

  grpc::Status Inspect(ServerContext* context, const v1::InspectRequest* request,
                       v1::InspectResponse* response) override {
    const Result<archive::Archive> archive = OpenArchive(agent_.config, request->archive());
    if (!archive.ok()) return ToGrpc(archive.status(), *context);
    api::ToMessage(Summarize(*archive), response->mutable_summary());
    response->set_pod_checkpoint_json(archive::ToJson(archive->checkpoint()));
    return grpc::Status::OK;
  }

  grpc::Status Verify(ServerContext* context, const v1::VerifyRequest* request,
                      v1::VerifyResponse* response) override {
    const Result<archive::Archive> archive = OpenArchive(agent_.config, request->archive());
    if (!archive.ok()) return ToGrpc(archive.status(), *context);
    const Status verified = archive->Verify(Deadline::After(kArchiveTimeout))
                                .While("verifying archive " + archive->name());
    if (!verified.ok()) return ToGrpc(verified, *context);
    response->set_digest(archive->digest());
    response->set_blobs(archive->blobs().size());
    response->set_size_bytes(archive->size_bytes());
    return grpc::Status::OK;
  }

  grpc::Status Delete(ServerContext* context, const v1::DeleteRequest* request,
                      v1::DeleteResponse*) override {
    return ToGrpc(DeleteArchive(agent_, request->archive()), *context);
  }

  grpc::Status Export(ServerContext* context, const v1::ExportRequest* request,
                      grpc::ServerWriter<v1::ExportChunk>* writer) override {
    return ToGrpc(SendArchive(agent_.config, *request, writer), *context);
  }

  grpc::Status Import(ServerContext* context, grpc::ServerReader<v1::ImportChunk>* reader,
                      v1::ImportResponse* response) override {
    const Result<archive::Archive> imported = ReceiveArchive(agent_.config, reader);
    if (imported.ok()) api::ToMessage(Summarize(*imported), response->mutable_archive());
    return ToGrpc(imported.status(), *context);
  }

  grpc::Status NodeInfo(ServerContext*, const v1::NodeInfoRequest*,
                        v1::NodeInfoResponse* response) override {
    api::ToMessage(ReadNodeInfo(agent_), response);
    return grpc::Status::OK;
  }

  grpc::Status Metrics(ServerContext*, const v1::MetricsRequest*,
                       v1::MetricsResponse* response) override {
    response->set_text(node_metrics_.Collect());
    return grpc::Status::OK;
  }

 private:
  // To its end; when the caller goes away, the operation goes on.
  grpc::Status Follow(const Result<std::shared_ptr<Operation>>& started, ServerContext* context,
                      EventWriter* writer) {
    if (!started.ok()) return ToGrpc(started.status(), *context);
    const Operation& operation = **started;
    v1::OperationEvent message;
    for (Operation::News news; !news.finished;) {
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      news = operation.WaitForNews(news.seen, Deadline::After(kNewsInterval));
      for (const jobs::JobEvent& event : news.events) {
        api::ToMessage(api::Progress{operation.id(), event.stage, event.container, event.bytes_done,
                                     event.bytes_total},
                       &message);
        writer->Write(message);
      }
    }
    if (const Status& status = operation.outcome().status; !status.ok()) {
      return ToGrpc(status, *context,
                    {operation.id(), agent_.operations.LogFolder(operation.id())});
    }
    v1::OperationEvent last;
    last.set_operation_id(operation.id());
    if (operation.facts().kind == jobs::JobKind::kCheckpoint) {
      api::ToMessage(ToApi(operation.outcome().checkpoint), last.mutable_checkpoint());
    } else {
      api::ToMessage(ToApi(operation.outcome().restore), last.mutable_restore());
    }
    writer->Write(last);
    return grpc::Status::OK;
  }

  const AgentParts agent_;
  CheckpointOperations& checkpoints_;
  PodRestores& pods_;
  NodeMetrics node_metrics_;
};

struct Sockets {
  Sockets(const AgentParts& agent, CheckpointOperations& checkpoints, PodRestores& pods)
      : service(agent, checkpoints, pods) {}
  ~Sockets() {
    readers.reset();
    if (server != nullptr) server->Shutdown(std::chrono::system_clock::now() + kShutdownTimeout);
  }
  Service service;
  std::unique_ptr<grpc::Server> server;
  ServedSocket readers;
};

}  // namespace

Result<ServedSocket> ServeAgent(const AgentParts& agent, CheckpointOperations& checkpoints,
                                PodRestores& pods) {
  const std::string socket = agent.config.agent_socket();
  ::unlink(socket.c_str());
  auto sockets = std::make_shared<Sockets>(agent, checkpoints, pods);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&sockets->service);
  builder.SetMaxReceiveMessageSize(8 << 20);
  sockets->server = builder.BuildAndStart();
  if (sockets->server == nullptr) return Status(Code::kUnavailable, "cannot listen on " + socket);
  if (::chmod(socket.c_str(), 0600) != 0) return ErrnoStatus(errno, "chmod", socket);
  CRYOPOD_ASSIGN_OR_RETURN(sockets->readers, ServeReaders(agent.config, sockets->service));
  return ServedSocket(sockets);
}

}  // namespace cryopod::daemon
