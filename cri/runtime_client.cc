#include "cri/runtime_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string_view>
#include <tuple>

#include "cri/api.grpc.pb.h"
#include "cri/config_json.h"

namespace cryopod::cri {
namespace {

namespace v1 = runtime::v1;
using Stub = v1::RuntimeService::Stub;

// As the kubelet: the verbose answer about a container with many mounts has been seen above gRPC's
// own limit of 4 MiB.
constexpr int kMessageBytesMax = 16 << 20;

// An error travels as metadata, which gRPC cuts off at 8 KiB; runtimes quote whole logs in theirs.
constexpr int kMetadataBytesMax = 256 << 10;

// gRPC turns an instant into a timeout header and overflows on one that is centuries away.
constexpr std::chrono::hours kWaitMax{24};

// A runtime that stands still lets us into its backlog and says nothing: whoever waits for it is
// ended by the deadline of a call. Under this name gRPC (1.51, subchannel.cc) also takes the time
// that a connection may take until it is greeted; when it tries again, the other two say.
constexpr int kConnectTimeoutMs =
    int{std::chrono::duration_cast<std::chrono::duration<int, std::milli>>(kWaitMax).count()};

// A runtime that was restarted is found again within a second (gRPC's default grows to two
// minutes).
constexpr int kReconnectFirstMs = 100;
constexpr int kReconnectLastMs = 1000;

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& socket_path) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectLastMs);
  // Go's server refuses an authority that is a path.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  // Without it clients of one process share a connection, and with it the wait after a failure.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(),
                                   arguments);
}

// The code as it is, the peer's own words as the message.
Status FromGrpc(const grpc::Status& status) {
  const Code code = CodeFromNumber(static_cast<int>(status.error_code()));
  Status failed(
      code, status.error_message().empty() ? std::string(CodeName(code)) : status.error_message());
  switch (code) {
    case Code::kNotFound:
    case Code::kUnavailable:
    case Code::kUnimplemented:
    case Code::kDeadlineExceeded:
    case Code::kResourceExhausted:
      return failed;
    default:
      return Status(code, failed.message(), Reason::kRuntimeFailed);
  }
}

std::map<std::string, std::string> ToStdMap(
    const google::protobuf::Map<std::string, std::string>& map) {
  return {map.begin(), map.end()};
}

// Sandbox and SandboxStatus carry the same fields under the same names.
template <typename Message>
PodSandbox ReadSandbox(const Message& message) {
  PodSandbox sandbox;
  sandbox.id = message.id();
  sandbox.name = message.metadata().name();
  sandbox.namespace_ = message.metadata().namespace_();
  sandbox.uid = message.metadata().uid();
  sandbox.attempt = message.metadata().attempt();
  sandbox.ready = message.state() == v1::SANDBOX_READY;
  sandbox.created_at_ns = message.created_at();
  sandbox.runtime_handler = message.runtime_handler();
  sandbox.annotations = ToStdMap(message.annotations());
  return sandbox;
}

ContainerState ReadState(v1::ContainerState state) {
  switch (state) {
    case v1::CONTAINER_CREATED:
      return ContainerState::kCreated;
    case v1::CONTAINER_RUNNING:
      return ContainerState::kRunning;
    case v1::CONTAINER_EXITED:
      return ContainerState::kExited;
    default:
      return ContainerState::kUnknown;
  }
}

// The name that the pod asked for, where the runtime still knows it; image() may be a digest.
const std::string& ReadImage(const v1::ImageSpec& image) {
  return image.user_specified_image().empty() ? image.image() : image.user_specified_image();
}

Result<PodSandbox> FromMessage(const v1::PodSandboxStatusResponse& message) {
  PodSandbox sandbox = ReadSandbox(message.status());
  sandbox.ip = message.status().network().ip();
  CRYOPOD_ASSIGN_OR_RETURN(VerboseInfo info, ParseSandboxInfo(ToStdMap(message.info())));
  sandbox.config_json = std::move(info.config_json);
  return sandbox;
}

Result<Container> FromMessage(const v1::ContainerStatusResponse& message) {
  const v1::ContainerStatus& status = message.status();
  Container container;
  container.id = status.id();
  container.name = status.metadata().name();
  container.attempt = status.metadata().attempt();
  container.state = ReadState(status.state());
  container.exit_code = status.exit_code();
  container.created_at_ns = status.created_at();
  container.image = ReadImage(status.image());
  container.image_ref = status.image_ref();
  container.image_id = status.image_id();
  container.log_path = status.log_path();
  for (const v1::Mount& mount : status.mounts()) {
    container.mounts.push_back({mount.container_path(), mount.host_path(), mount.readonly()});
  }
  CRYOPOD_ASSIGN_OR_RETURN(VerboseInfo info, ParseContainerInfo(ToStdMap(message.info())));
  container.pid = info.pid;
  container.config_json = std::move(info.config_json);
  container.status_json = PrintJson(status);
  return container;
}

}  // namespace

struct RuntimeClient::Stubs {
  explicit Stubs(const std::string& path) : socket_path(path) {
    const std::shared_ptr<grpc::Channel> channel = OpenChannel(path);
    services = {v1::RuntimeService::NewStub(channel), v1::ImageService::NewStub(channel)};
  }

  // `doing` names the call and its object: "StartContainer 4f1c…".
  template <typename Service, typename Request, typename Response>
  Result<Response> Call(grpc::Status (Service::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                        const Request& request, std::string_view doing, Deadline deadline) {
    const std::string where = std::string(doing) + " at " + socket_path;
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded, "no time left").While(where);
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::min<std::chrono::nanoseconds>(deadline.remaining(), kWaitMax));
    Response response;
    Service& service = *std::get<std::unique_ptr<Service>>(services);
    const grpc::Status status = (service.*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status).While(where);
    return response;
  }
  // The same, of an answer that tells nothing.
  template <typename Method, typename Request>
  Status Do(Method method, const Request& request, std::string_view doing, Deadline deadline) {
    return Call(method, request, doing, deadline).status();
  }

  std::string socket_path;
  std::tuple<std::unique_ptr<Stub>, std::unique_ptr<v1::ImageService::Stub>> services;
};

RuntimeClient::RuntimeClient(const std::string& socket_path)
    : stubs_(std::make_unique<Stubs>(socket_path)) {}
RuntimeClient::~RuntimeClient() = default;

Result<RuntimeVersion> RuntimeClient::Version(Deadline deadline) {
  v1::VersionRequest request;
  request.set_version("v1");
  CRYOPOD_ASSIGN_OR_RETURN(const v1::VersionResponse response,
                           stubs_->Call(&Stub::Version, request, "Version", deadline));
  return RuntimeVersion{response.runtime_name(), response.runtime_version(),
                        response.runtime_api_version()};
}

Result<RuntimeConfiguration> RuntimeClient::Configuration(Deadline deadline) {
  v1::StatusRequest request;
  request.set_verbose(true);
  CRYOPOD_ASSIGN_OR_RETURN(const v1::StatusResponse response,
                           stubs_->Call(&Stub::Status, request, "Status", deadline));
  std::vector<std::string> names;
  for (const v1::RuntimeHandler& handler : response.runtime_handlers()) {
    names.push_back(handler.name());
  }
  RuntimeConfiguration configuration =
      ParseRuntimeConfiguration({response.info().begin(), response.info().end()}, names);
  CRYOPOD_ASSIGN_OR_RETURN(const v1::ImageFsInfoResponse images,
                           stubs_->Call(&v1::ImageService::Stub::ImageFsInfo,
                                        v1::ImageFsInfoRequest(), "ImageFsInfo", deadline));
  for (const v1::FilesystemUsage& usage : images.image_filesystems()) {
    configuration.snapshotter = SnapshotterOf(usage.fs_id().mountpoint());
  }
  return configuration;
}

Result<std::vector<PodSandbox>> RuntimeClient::ListPodSandboxes(Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(
      const v1::ListPodSandboxResponse response,
      stubs_->Call(&Stub::ListPodSandbox, v1::ListPodSandboxRequest(), "ListPodSandbox", deadline));
  std::vector<PodSandbox> sandboxes;
  sandboxes.reserve(static_cast<size_t>(response.items_size()));
  for (const v1::PodSandbox& item : response.items()) sandboxes.push_back(ReadSandbox(item));
  return sandboxes;
}

Result<PodSandbox> RuntimeClient::DescribePodSandbox(const std::string& sandbox_id,
                                                     Deadline deadline) {
  v1::PodSandboxStatusRequest status_request;
  status_request.set_pod_sandbox_id(sandbox_id);
  status_request.set_verbose(true);
  CRYOPOD_ASSIGN_OR_RETURN(const v1::PodSandboxStatusResponse status,
                           stubs_->Call(&Stub::PodSandboxStatus, status_request,
                                        "PodSandboxStatus " + sandbox_id, deadline));
  CRYOPOD_ASSIGN_OR_RETURN(PodSandbox sandbox,
                           FromMessage(status).While("describing sandbox " + sandbox_id));

  v1::ListContainersRequest list_request;
  list_request.mutable_filter()->set_pod_sandbox_id(sandbox.id);
  CRYOPOD_ASSIGN_OR_RETURN(v1::ListContainersResponse list,
                           stubs_->Call(&Stub::ListContainers, list_request,
                                        "ListContainers of sandbox " + sandbox.id, deadline));
  std::stable_sort(list.mutable_containers()->begin(), list.mutable_containers()->end(),
                   [](const v1::Container& a, const v1::Container& b) {
                     return a.created_at() < b.created_at();
                   });
  for (const v1::Container& listed : list.containers()) {
    Result<Container> container = ContainerStatus(listed.id(), deadline);
    // Removed between the two calls: it is no longer a container of this pod.
    if (container.status().code() == Code::kNotFound) continue;
    if (!container.ok()) return container.status();
    sandbox.containers.push_back(std::move(container).value());
  }
  return sandbox;
}

Result<PodSandbox> RuntimeClient::FindPod(const std::string& pod, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<PodSandbox> sandboxes, ListPodSandboxes(deadline));
  CRYOPOD_ASSIGN_OR_RETURN(const PodSandbox chosen, ChoosePod(sandboxes, pod));
  return DescribePodSandbox(chosen.id, deadline);
}

Result<std::string> RuntimeClient::RunPodSandbox(const std::string& config_json,
                                                 const std::string& runtime_handler,
                                                 Deadline deadline) {
  v1::RunPodSandboxRequest request;
  CRYOPOD_RETURN_IF_ERROR(
      ParseJson(config_json, "the sandbox configuration", request.mutable_config()));
  request.set_runtime_handler(runtime_handler);
  const v1::PodSandboxMetadata& metadata = request.config().metadata();
  CRYOPOD_ASSIGN_OR_RETURN(
      const v1::RunPodSandboxResponse response,
      stubs_->Call(&Stub::RunPodSandbox, request,
                   "RunPodSandbox " + metadata.namespace_() + "/" + metadata.name(), deadline));
  return response.pod_sandbox_id();
}

Result<std::string> RuntimeClient::CreateContainer(const std::string& sandbox_id,
                                                   const std::string& container_config_json,
                                                   const std::string& sandbox_config_json,
                                                   Deadline deadline) {
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(sandbox_id);
  CRYOPOD_RETURN_IF_ERROR(
      ParseJson(container_config_json, "the container configuration", request.mutable_config()));
  CRYOPOD_RETURN_IF_ERROR(ParseJson(sandbox_config_json, "the sandbox configuration",
                                    request.mutable_sandbox_config()));
  CRYOPOD_ASSIGN_OR_RETURN(
      const v1::CreateContainerResponse response,
      stubs_->Call(&Stub::CreateContainer, request,
                   "CreateContainer " + request.config().metadata().name(), deadline));
  return response.container_id();
}

Status RuntimeClient::StartContainer(const std::string& container_id, Deadline deadline) {
  v1::StartContainerRequest request;
  request.set_container_id(container_id);
  return stubs_->Do(&Stub::StartContainer, request, "StartContainer " + container_id, deadline);
}

Status RuntimeClient::StopContainer(const std::string& container_id, int grace_seconds,
                                    Deadline deadline) {
  v1::StopContainerRequest request;
  request.set_container_id(container_id);
  request.set_timeout(grace_seconds);
  return stubs_->Do(&Stub::StopContainer, request, "StopContainer " + container_id, deadline);
}

Status RuntimeClient::CheckpointContainer(const std::string& container_id,
                                          const std::string& location, Deadline deadline) {
  v1::CheckpointContainerRequest request;
  request.set_container_id(container_id);
  request.set_location(location);
  request.set_timeout(std::max<int64_t>(
      1, std::chrono::duration_cast<std::chrono::seconds>(deadline.remaining()).count()));
  return stubs_->Do(&Stub::CheckpointContainer, request, "CheckpointContainer " + container_id,
                    deadline);
}

Status RuntimeClient::RemoveContainer(const std::string& container_id, Deadline deadline) {
  v1::RemoveContainerRequest request;
  request.set_container_id(container_id);
  return stubs_->Do(&Stub::RemoveContainer, request, "RemoveContainer " + container_id, deadline);
}

Status RuntimeClient::StopPodSandbox(const std::string& sandbox_id, Deadline deadline) {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(sandbox_id);
  return stubs_->Do(&Stub::StopPodSandbox, request, "StopPodSandbox " + sandbox_id, deadline);
}

Status RuntimeClient::RemovePodSandbox(const std::string& sandbox_id, Deadline deadline) {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(sandbox_id);
  return stubs_->Do(&Stub::RemovePodSandbox, request, "RemovePodSandbox " + sandbox_id, deadline);
}

Result<Container> RuntimeClient::ContainerStatus(const std::string& container_id,
                                                 Deadline deadline) {
  v1::ContainerStatusRequest request;
  request.set_container_id(container_id);
  request.set_verbose(true);
  CRYOPOD_ASSIGN_OR_RETURN(
      const v1::ContainerStatusResponse response,
      stubs_->Call(&Stub::ContainerStatus, request, "ContainerStatus " + container_id, deadline));
  return FromMessage(response).While("describing container " + container_id);
}

Result<ExecResult> RuntimeClient::ExecSync(const std::string& container_id,
                                           const std::vector<std::string>& command,
                                           Deadline deadline, std::chrono::seconds limit) {
  v1::ExecSyncRequest request;
  request.set_container_id(container_id);
  for (const std::string& word : command) request.add_cmd(word);
  // The runtime ends the command at its own timeout.
  const auto seconds =
      std::min(std::chrono::floor<std::chrono::seconds>(
                   std::min<std::chrono::nanoseconds>(deadline.remaining(), kWaitMax)),
               limit);
  request.set_timeout(std::max<int64_t>(1, seconds.count()));
  CRYOPOD_ASSIGN_OR_RETURN(
      v1::ExecSyncResponse response,
      stubs_->Call(&Stub::ExecSync, request, "ExecSync in " + container_id, deadline));
  return ExecResult{response.exit_code(), std::move(*response.mutable_stdout()),
                    std::move(*response.mutable_stderr())};
}

}  // namespace cryopod::cri
