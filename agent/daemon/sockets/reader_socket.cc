#include "agent/daemon/sockets/reader_socket.h"

#include <grp.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "agent/api/cryopod.grpc.pb.h"
#include "agent/api/messages.h"
#include "agent/os/log.h"

namespace cryopod::daemon {
namespace {

using grpc::ServerContext;

// A reader asks for names and text; nothing that it sends is large.
constexpr int kRequestBytesMax = 64 << 10;
constexpr int kThreadsMax = 8;
constexpr size_t kGroupEntryBytesMax = 1 << 20;

class ReaderService final : public v1::PodCheckpoints::Service {
 public:
  ReaderService(v1::PodCheckpoints::Service& agent, std::string agent_socket)
      : agent_(agent), agent_socket_(std::move(agent_socket)) {}

  grpc::Status List(ServerContext* context, const v1::ListRequest* request,
                    v1::ListResponse* response) override {
    return agent_.List(context, request, response);
  }
  grpc::Status NodeInfo(ServerContext* context, const v1::NodeInfoRequest* request,
                        v1::NodeInfoResponse* response) override {
    return agent_.NodeInfo(context, request, response);
  }
  grpc::Status Metrics(ServerContext* context, const v1::MetricsRequest* request,
                       v1::MetricsResponse* response) override {
    return agent_.Metrics(context, request, response);
  }

  using EventWriter = grpc::ServerWriter<v1::OperationEvent>;
  grpc::Status Checkpoint(ServerContext* context, const v1::CheckpointRequest*,
                          EventWriter*) override {
    return Refuse("Checkpoint", context);
  }
  grpc::Status Restore(ServerContext* context, const v1::RestoreRequest*, EventWriter*) override {
    return Refuse("Restore", context);
  }
  grpc::Status Wait(ServerContext* context, const v1::WaitRequest*, EventWriter*) override {
    return Refuse("Wait", context);
  }
  grpc::Status Cancel(ServerContext* context, const v1::CancelRequest*,
                      v1::CancelResponse*) override {
    return Refuse("Cancel", context);
  }
  grpc::Status Logs(ServerContext* context, const v1::LogsRequest*,
                    grpc::ServerWriter<v1::LogChunk>*) override {
    return Refuse("Logs", context);
  }
  grpc::Status Inspect(ServerContext* context, const v1::InspectRequest*,
                       v1::InspectResponse*) override {
    return Refuse("Inspect", context);
  }
  grpc::Status Verify(ServerContext* context, const v1::VerifyRequest*,
                      v1::VerifyResponse*) override {
    return Refuse("Verify", context);
  }
  grpc::Status Delete(ServerContext* context, const v1::DeleteRequest*,
                      v1::DeleteResponse*) override {
    return Refuse("Delete", context);
  }
  grpc::Status Export(ServerContext* context, const v1::ExportRequest*,
                      grpc::ServerWriter<v1::ExportChunk>*) override {
    return Refuse("Export", context);
  }
  grpc::Status Import(ServerContext* context, grpc::ServerReader<v1::ImportChunk>*,
                      v1::ImportResponse*) override {
    return Refuse("Import", context);
  }

 private:
  grpc::Status Refuse(const std::string& method, ServerContext* context) const {
    return api::ToGrpc(Status(Code::kPermissionDenied,
                              "role reader may call List, NodeInfo and Metrics, not " + method +
                                  "; that takes the agent socket " + agent_socket_),
                       *context);
  }

  v1::PodCheckpoints::Service& agent_;
  const std::string agent_socket_;
};

// Nothing when there is no such group.
std::optional<gid_t> FindGroup(const std::string& name) {
  std::vector<char> buffer(1024);
  group entry{};
  group* found = nullptr;
  while (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE) {
    if (buffer.size() >= kGroupEntryBytesMax) return std::nullopt;
    buffer.resize(buffer.size() * 4);
  }
  if (found == nullptr) return std::nullopt;
  return found->gr_gid;
}

// The folder may be passed through by the group, and read by nobody else.
Status OpenToGroup(const settings::AgentSettings& config) {
  const std::string socket = config.reader_socket();
  const std::optional<gid_t> group = FindGroup(config.reader_group);
  if (!group) {
    Log(LogLevel::kWarning, "no such group; only root may read",
        {{"key", "reader_group"}, {"group", config.reader_group}, {"socket", socket}});
    return ::chmod(socket.c_str(), 0600) == 0 ? Status() : ErrnoStatus(errno, "chmod", socket);
  }
  const auto root = static_cast<uid_t>(-1);
  for (const auto& [path, mode] : {std::pair{config.run_dir, 0710}, std::pair{socket, 0660}}) {
    if (::chown(path.c_str(), root, *group) != 0) return ErrnoStatus(errno, "chown", path);
    if (::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0) {
      return ErrnoStatus(errno, "chmod", path);
    }
  }
  return Status();
}

struct Readers {
  Readers(v1::PodCheckpoints::Service& agent, const std::string& agent_socket)
      : service(agent, agent_socket) {}
  ~Readers() {
    if (server != nullptr) server->Shutdown(std::chrono::system_clock::now() + kShutdownTimeout);
  }
  ReaderService service;
  std::unique_ptr<grpc::Server> server;
};

}  // namespace

Result<ServedSocket> ServeReaders(const settings::AgentSettings& config,
                                  grpc::Service& agent_service) {
  const std::string socket = config.reader_socket();
  ::unlink(socket.c_str());
  auto& agent = static_cast<v1::PodCheckpoints::Service&>(agent_service);
  auto readers = std::make_shared<Readers>(agent, config.agent_socket());
  grpc::ResourceQuota quota("readers");
  quota.SetMaxThreads(kThreadsMax);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 1);
  builder.SetMaxReceiveMessageSize(kRequestBytesMax);
  // The file is made with the umask's mode: nobody comes in before the group is set.
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&readers->service);
  readers->server = builder.BuildAndStart();
  if (readers->server == nullptr) return Status(Code::kUnavailable, "cannot listen on " + socket);
  CRYOPOD_RETURN_IF_ERROR(OpenToGroup(config).While("opening the readers' socket"));
  return ServedSocket(readers);
}

}  // namespace cryopod::daemon
