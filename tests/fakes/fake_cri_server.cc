#include "tests/fakes/fake_cri_server.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <type_traits>
#include <utility>

#include "cri/api.grpc.pb.h"
#include "cri/config_json.h"
#include "tests/fakes/go_json.h"
#include "tests/fakes/locked.h"

namespace cryopod::test {
namespace {

namespace v1 = runtime::v1;
using grpc::ServerContext;

// Above every limit of the client, so that it is the client's limit that a test meets.
constexpr int kMessageBytesMax = 256 << 20;

struct Sandbox {
  v1::PodSandboxConfig config;
  std::string runtime_handler = {};
  bool ready = true;
  int64_t created_at_ns = 0;
  pid_t pid = 1;
};

struct Container {
  v1::ContainerConfig config;
  std::string sandbox_id = {};
  v1::ContainerState state = v1::CONTAINER_CREATED;
  int64_t created_at_ns = 0;
  pid_t pid = 0;
};

grpc::Status NotFound(const std::string& id) {
  return {grpc::StatusCode::NOT_FOUND, "an error occurred when try to find \"" + id + "\""};
}

template <typename Map>
std::vector<std::string> Keys(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& entry : map) keys.push_back(entry.first);
  return keys;
}

// The runtimes of a configuration in containerd's JSON.
std::vector<std::string> HandlersOf(const std::string& config_json) {
  const nlohmann::json config = nlohmann::json::parse(config_json, nullptr, false);
  const nlohmann::json::json_pointer runtimes("/containerd/runtimes");
  if (!config.is_object() || !config.contains(runtimes)) return {};
  std::vector<std::string> handlers;
  for (const auto& runtime : config.at(runtimes).items()) handlers.push_back(runtime.key());
  return handlers;
}

// As containerd: an ID or a prefix of it.
template <typename Map>
typename Map::iterator FindByPrefix(Map* map, const std::string& id) {
  const auto it = map->lower_bound(id);
  return it != map->end() && it->first.compare(0, id.size(), id) == 0 ? it : map->end();
}

}  // namespace

class FakeCriServer::Service final : public v1::RuntimeService::Service,
                                     public v1::ImageService::Service {
 public:
  void Serve(const std::string& socket_path) {
    ::unlink(socket_path.c_str());
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
    builder.SetMaxReceiveMessageSize(kMessageBytesMax);
    builder.SetMaxSendMessageSize(kMessageBytesMax);
    builder.RegisterService(static_cast<v1::RuntimeService::Service*>(this));
    builder.RegisterService(static_cast<v1::ImageService::Service*>(this));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) std::abort();
  }

  void Stop() {
    stopping_ = true;
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    server_->Wait();
  }

  grpc::Status Version(ServerContext* context, const v1::VersionRequest*,
                       v1::VersionResponse* response) override {
    if (grpc::Status status = Enter(context, "Version", ""); !status.ok()) return status;
    response->set_version("0.1.0");
    response->set_runtime_name("containerd");
    response->set_runtime_version("2.1.9");
    response->set_runtime_api_version("v1");
    return grpc::Status::OK;
  }

  grpc::Status Status(ServerContext* context, const v1::StatusRequest* request,
                      v1::StatusResponse* response) override {
    if (grpc::Status status = Enter(context, "Status", ""); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    if (request->verbose()) (*response->mutable_info())["config"] = runtime_config_;
    for (const std::string& handler : HandlersOf(runtime_config_)) {
      response->add_runtime_handlers()->set_name(handler);
    }
    return grpc::Status::OK;
  }

  grpc::Status ImageFsInfo(ServerContext* context, const v1::ImageFsInfoRequest*,
                           v1::ImageFsInfoResponse* response) override {
    if (grpc::Status status = Enter(context, "ImageFsInfo", ""); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    response->add_image_filesystems()->mutable_fs_id()->set_mountpoint(
        "/var/lib/containerd/io.containerd.snapshotter.v1." + snapshotter_);
    return grpc::Status::OK;
  }

  grpc::Status RunPodSandbox(ServerContext* context, const v1::RunPodSandboxRequest* request,
                             v1::RunPodSandboxResponse* response) override {
    const std::string& name = request->config().metadata().name();
    if (grpc::Status status = Enter(context, "RunPodSandbox", name); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    response->set_pod_sandbox_id(Add(
        &sandboxes_, {.config = request->config(), .runtime_handler = request->runtime_handler()}));
    return grpc::Status::OK;
  }

  grpc::Status StopPodSandbox(ServerContext* context, const v1::StopPodSandboxRequest* request,
                              v1::StopPodSandboxResponse*) override {
    const std::string& asked = request->pod_sandbox_id();
    if (grpc::Status status = Enter(context, "StopPodSandbox", asked); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = sandboxes_.find(request->pod_sandbox_id());
    if (it == sandboxes_.end()) return grpc::Status::OK;  // idempotent, as CRI wants it
    it->second.ready = false;
    for (auto& [id, container] : containers_) {
      if (container.sandbox_id == it->first) SetExited(&container);
    }
    return grpc::Status::OK;
  }

  grpc::Status RemovePodSandbox(ServerContext* context, const v1::RemovePodSandboxRequest* request,
                                v1::RemovePodSandboxResponse*) override {
    const std::string& id = request->pod_sandbox_id();
    if (grpc::Status status = Enter(context, "RemovePodSandbox", id); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    std::erase_if(containers_, [&id](const auto& entry) { return entry.second.sandbox_id == id; });
    sandboxes_.erase(id);
    return grpc::Status::OK;
  }

  grpc::Status PodSandboxStatus(ServerContext* context, const v1::PodSandboxStatusRequest* request,
                                v1::PodSandboxStatusResponse* response) override {
    const std::string& id = request->pod_sandbox_id();
    if (grpc::Status status = Enter(context, "PodSandboxStatus", id); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = FindByPrefix(&sandboxes_, id);
    if (it == sandboxes_.end()) return NotFound(id);
    const Sandbox& sandbox = it->second;
    FillSandbox(it->first, sandbox, response->mutable_status());
    response->mutable_status()->mutable_network()->set_ip("10.88.0.7");
    if (request->verbose()) {
      nlohmann::json info = {{"pid", sandbox.pid},
                             {"processStatus", "running"},
                             {"runtimeHandler", sandbox.runtime_handler},
                             {"config", nlohmann::json::parse(GoJson(sandbox.config))}};
      FillInfo(it->first, info, response->mutable_info());
    }
    return grpc::Status::OK;
  }

  grpc::Status ListPodSandbox(ServerContext* context, const v1::ListPodSandboxRequest*,
                              v1::ListPodSandboxResponse* response) override {
    if (grpc::Status status = Enter(context, "ListPodSandbox", ""); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    for (const auto& [id, sandbox] : sandboxes_) FillSandbox(id, sandbox, response->add_items());
    return grpc::Status::OK;
  }

  grpc::Status CreateContainer(ServerContext* context, const v1::CreateContainerRequest* request,
                               v1::CreateContainerResponse* response) override {
    const std::string& name = request->config().metadata().name();
    if (grpc::Status status = Enter(context, "CreateContainer", name); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    if (sandboxes_.count(request->pod_sandbox_id()) == 0)
      return NotFound(request->pod_sandbox_id());
    response->set_container_id(
        Add(&containers_, {.config = request->config(), .sandbox_id = request->pod_sandbox_id()}));
    return grpc::Status::OK;
  }

  grpc::Status StartContainer(ServerContext* context, const v1::StartContainerRequest* request,
                              v1::StartContainerResponse*) override {
    const std::string& id = request->container_id();
    if (grpc::Status status = Enter(context, "StartContainer", id); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = containers_.find(id);
    if (it == containers_.end()) return NotFound(id);
    if (it->second.state != v1::CONTAINER_CREATED) {
      return {grpc::StatusCode::UNKNOWN, "container \"" + id + "\" is not in created state"};
    }
    it->second.state = v1::CONTAINER_RUNNING;
    it->second.pid = next_pid_++;
    return grpc::Status::OK;
  }

  grpc::Status StopContainer(ServerContext* context, const v1::StopContainerRequest* request,
                             v1::StopContainerResponse*) override {
    const std::string& id = request->container_id();
    const std::string call = id + " " + std::to_string(request->timeout());
    if (grpc::Status status = Enter(context, "StopContainer", call); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = containers_.find(id);
    if (it != containers_.end()) SetExited(&it->second);
    return grpc::Status::OK;
  }

  grpc::Status CheckpointContainer(ServerContext* context,
                                   const v1::CheckpointContainerRequest* request,
                                   v1::CheckpointContainerResponse*) override {
    const std::string timeout = std::to_string(request->timeout());
    return Enter(context, "CheckpointContainer",
                 request->container_id() + " " + request->location() + " " + timeout);
  }

  grpc::Status RemoveContainer(ServerContext* context, const v1::RemoveContainerRequest* request,
                               v1::RemoveContainerResponse*) override {
    const std::string& id = request->container_id();
    if (grpc::Status status = Enter(context, "RemoveContainer", id); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    containers_.erase(id);
    return grpc::Status::OK;
  }

  grpc::Status ListContainers(ServerContext* context, const v1::ListContainersRequest* request,
                              v1::ListContainersResponse* response) override {
    const std::string& sandbox_id = request->filter().pod_sandbox_id();
    if (grpc::Status status = Enter(context, "ListContainers", sandbox_id); !status.ok()) {
      return status;
    }
    const std::lock_guard lock(mutex_);
    for (const auto& [id, container] : containers_) {
      if (!sandbox_id.empty() && container.sandbox_id != sandbox_id) continue;
      v1::Container* listed = response->add_containers();
      listed->set_id(id);
      listed->set_pod_sandbox_id(container.sandbox_id);
      *listed->mutable_metadata() = container.config.metadata();
      listed->set_state(container.state);
      listed->set_created_at(container.created_at_ns);
    }
    return grpc::Status::OK;
  }

  grpc::Status ContainerStatus(ServerContext* context, const v1::ContainerStatusRequest* request,
                               v1::ContainerStatusResponse* response) override {
    const std::string& id = request->container_id();
    if (grpc::Status status = Enter(context, "ContainerStatus", id); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto it = FindByPrefix(&containers_, id);
    if (it == containers_.end()) return NotFound(id);
    FillContainer(it->first, it->second, response->mutable_status());
    if (request->verbose()) {
      nlohmann::json info = {{"sandboxID", it->second.sandbox_id},
                             {"pid", it->second.pid},
                             {"removing", false},
                             {"config", nlohmann::json::parse(GoJson(it->second.config))}};
      FillInfo(it->first, info, response->mutable_info());
    }
    return grpc::Status::OK;
  }

  grpc::Status ExecSync(ServerContext* context, const v1::ExecSyncRequest* request,
                        v1::ExecSyncResponse* response) override {
    std::string subject = request->container_id();
    for (const std::string& word : request->cmd()) subject += " " + word;
    if (grpc::Status status = Enter(context, "ExecSync", subject); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    if (containers_.count(request->container_id()) == 0) return NotFound(request->container_id());
    response->set_stdout(exec_result_.output);
    response->set_stderr(exec_result_.error);
    response->set_exit_code(exec_result_.exit_code);
    return grpc::Status::OK;
  }

  // The caller holds the mutex. Returns the new ID.
  template <typename Object>
  std::string Add(std::map<std::string, Object>* objects, std::type_identity_t<Object> object) {
    const std::string number = std::to_string(next_id_++);
    // The digits that differ come first, so that a short prefix names one object.
    const std::string id = number + std::string(64 - number.size(), 'f');
    object.created_at_ns = next_instant_++;
    (*objects)[id] = std::move(object);
    return id;
  }

  mutable std::mutex mutex_;
  std::map<std::string, Sandbox> sandboxes_;
  std::map<std::string, Container> containers_;
  std::map<std::string, std::string> verbose_info_;
  std::string runtime_config_ = R"({"containerd":{"runtimes":{"runc":{}}}})";
  std::string snapshotter_ = "overlayfs";
  std::map<std::string, grpc::Status> failures_;
  std::set<std::string> hanging_;
  std::map<std::string, Hook> hooks_;
  std::vector<std::string> calls_;
  cri::ExecResult exec_result_;
  size_t padding_bytes_ = 0;

 private:
  // Records the call, and serves the failure or the silence that was ordered for it.
  grpc::Status Enter(ServerContext* context, const std::string& method,
                     const std::string& subject) {
    bool hangs = false;
    Hook hook;
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(subject.empty() ? method : method + " " + subject);
      hook = hooks_[method];
      hangs = hanging_.count(method) > 0;
      if (const auto it = failures_.find(method); it != failures_.end()) {
        const grpc::Status status = it->second;
        failures_.erase(it);
        return status;
      }
    }
    if (hook) hook(subject);
    while (hangs && !context->IsCancelled() && !stopping_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return hangs ? grpc::Status(grpc::StatusCode::CANCELLED, "hung") : grpc::Status::OK;
  }

  template <typename Message>
  static void FillSandbox(const std::string& id, const Sandbox& sandbox, Message* message) {
    message->set_id(id);
    *message->mutable_metadata() = sandbox.config.metadata();
    message->set_state(sandbox.ready ? v1::SANDBOX_READY : v1::SANDBOX_NOTREADY);
    message->set_created_at(sandbox.created_at_ns);
    *message->mutable_labels() = sandbox.config.labels();
    *message->mutable_annotations() = sandbox.config.annotations();
    message->set_runtime_handler(sandbox.runtime_handler);
  }

  static void FillContainer(const std::string& id, const Container& container,
                            v1::ContainerStatus* status) {
    status->set_id(id);
    *status->mutable_metadata() = container.config.metadata();
    status->set_state(container.state);
    status->set_created_at(container.created_at_ns);
    *status->mutable_image() = container.config.image();
    status->set_image_ref("sha256:feed");
    status->set_image_id("sha256:f00d");
    status->set_log_path(container.config.log_path());
    *status->mutable_mounts() = container.config.mounts();
    *status->mutable_labels() = container.config.labels();
    *status->mutable_annotations() = container.config.annotations();
  }

  void FillInfo(const std::string& id, const nlohmann::json& info,
                google::protobuf::Map<std::string, std::string>* map) const {
    const auto it = verbose_info_.find(id);
    (*map)["info"] = it != verbose_info_.end() ? it->second : info.dump();
    if (padding_bytes_ > 0) (*map)["padding"] = std::string(padding_bytes_, 'x');
  }

  static void SetExited(Container* container) {
    container->state = v1::CONTAINER_EXITED;
    container->pid = 0;
  }

  std::atomic<bool> stopping_ = false;
  int next_id_ = 100;
  int64_t next_instant_ = 1;
  pid_t next_pid_ = 4'000'000;  // no process of this machine
  std::unique_ptr<grpc::Server> server_;
};

FakeCriServer::FakeCriServer(const std::string& socket_path)
    : service_(std::make_unique<Service>()) {
  service_->Serve(socket_path);
}

FakeCriServer::~FakeCriServer() { service_->Stop(); }

std::string FakeCriServer::AddPod(const std::string& sandbox_config_json,
                                  const std::string& runtime_handler) {
  Sandbox sandbox;
  if (!cri::ParseJson(sandbox_config_json, "pod", &sandbox.config).ok()) std::abort();
  sandbox.runtime_handler = runtime_handler;
  const std::lock_guard lock(service_->mutex_);
  return service_->Add(&service_->sandboxes_, std::move(sandbox));
}

std::string FakeCriServer::AddContainer(const std::string& sandbox_id,
                                        const std::string& container_config_json, pid_t pid) {
  Container container;
  const std::string& json = container_config_json;
  if (!cri::ParseJson(json, "container", &container.config).ok()) std::abort();
  container.sandbox_id = sandbox_id;
  container.state = v1::CONTAINER_RUNNING;
  container.pid = pid;
  const std::lock_guard lock(service_->mutex_);
  if (service_->sandboxes_.count(sandbox_id) == 0) std::abort();
  return service_->Add(&service_->containers_, std::move(container));
}

void FakeCriServer::SetSandboxReady(const std::string& sandbox_id, bool ready) {
  Locked(*service_)->sandboxes_.at(sandbox_id).ready = ready;
}

void FakeCriServer::SetContainerState(const std::string& container_id, cri::ContainerState state) {
  Locked(*service_)->containers_.at(container_id).state = static_cast<v1::ContainerState>(state);
}

void FakeCriServer::SetVerboseInfo(const std::string& sandbox_or_container_id,
                                   const std::string& json) {
  Locked(*service_)->verbose_info_[sandbox_or_container_id] = json;
}

void FakeCriServer::SetExecResult(const cri::ExecResult& result) {
  Locked(*service_)->exec_result_ = result;
}

void FakeCriServer::SetRuntimeConfig(const std::string& json, const std::string& snapshotter) {
  const std::lock_guard lock(service_->mutex_);
  service_->runtime_config_ = json;
  service_->snapshotter_ = snapshotter;
}

void FakeCriServer::FailNext(const std::string& method, Code code, const std::string& message) {
  Locked(*service_)->failures_[method] = grpc::Status(static_cast<grpc::StatusCode>(code), message);
}

void FakeCriServer::BeforeEach(const std::string& method, Hook hook) {
  Locked(*service_)->hooks_[method] = std::move(hook);
}

void FakeCriServer::Hang(const std::string& method) { Locked(*service_)->hanging_.insert(method); }

void FakeCriServer::PadVerboseAnswers(size_t size_bytes) {
  Locked(*service_)->padding_bytes_ = size_bytes;
}

std::vector<std::string> FakeCriServer::calls() const { return Locked(*service_)->calls_; }

std::vector<std::string> FakeCriServer::sandbox_ids() const {
  return Keys(Locked(*service_)->sandboxes_);
}

std::vector<std::string> FakeCriServer::container_ids() const {
  return Keys(Locked(*service_)->containers_);
}

std::string FakeCriServer::sandbox_config(const std::string& sandbox_id) const {
  return cri::PrintJson(Locked(*service_)->sandboxes_.at(sandbox_id).config);
}

std::string FakeCriServer::container_config(const std::string& container_id) const {
  return cri::PrintJson(Locked(*service_)->containers_.at(container_id).config);
}

cri::ContainerState FakeCriServer::container_state(const std::string& container_id) const {
  return static_cast<cri::ContainerState>(Locked(*service_)->containers_.at(container_id).state);
}

}  // namespace cryopod::test
