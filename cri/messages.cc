#include "cri/messages.h"

#include <map>
#include <string>

#include "cri/api.pb.h"
#include "cri/config_json.h"
#include "cri/verbose_info.h"

namespace cryopod::cri {
namespace {

namespace v1 = runtime::v1;

using StringMap = google::protobuf::Map<std::string, std::string>;

std::map<std::string, std::string> ToStdMap(const StringMap& map) {
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
  sandbox.labels = ToStdMap(message.labels());
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

}  // namespace

PodSandbox FromMessage(const v1::PodSandbox& message) { return ReadSandbox(message); }

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

}  // namespace cryopod::cri
