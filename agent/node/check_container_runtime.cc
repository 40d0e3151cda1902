#include <fnmatch.h>

#include <algorithm>

#include "agent/node/checks.h"
#include "agent/os/text.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::node {
namespace {

constexpr int kContainerdMajorMin = 2;
constexpr char kRuncType[] = "io.containerd.runc.v2";
constexpr char kOverlay[] = "overlayfs";
// A first start from a restart. Source: kubelet, pkg/kubelet/kuberuntime/labels.go.
constexpr char kRestartCount[] = "io.kubernetes.container.restartCount";
constexpr char kDropIn[] =
    "`cryopodctl node install` writes the drop-in (manifests/containerd/cryopod.toml); then "
    "restart containerd";

// Whether one of the patterns lets `annotation` pass, as Go's path.Match does: '*' and '?' stand
// for no '/'.
bool AnyPasses(const std::vector<std::string>& patterns, const std::string& annotation) {
  return std::ranges::any_of(patterns, [&annotation](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), annotation.c_str(), FNM_PATHNAME) == 0;
  });
}

const cri::RuntimeHandler* FindHandler(const cri::RuntimeConfiguration& configuration) {
  const auto handler = configuration.handlers.find(kHandler);
  return handler != configuration.handlers.end() ? &handler->second : nullptr;
}

}  // namespace

Finding CheckRuntimeVersion(const cri::RuntimeVersion& version) {
  const std::string found = version.name + " " + version.version;
  const size_t digits = version.version.starts_with('v') ? 1 : 0;
  const int major = MajorMinor(std::string_view(version.version).substr(digits)).first;
  if (version.name != "containerd") {
    return Finding::Lacking(found, found + " is not containerd, with which cryopod works",
                            "name containerd's socket as containerd_socket");
  }
  if (major < kContainerdMajorMin) {
    return Finding::Lacking(found, found + " is too old for the handler's configuration",
                            "upgrade to containerd 2.0 or newer");
  }
  return Finding::Met(found);
}

Finding CheckSnapshotter(const cri::RuntimeConfiguration& configuration) {
  const cri::RuntimeHandler* const handler = FindHandler(configuration);
  const bool of_handler = handler != nullptr && !handler->snapshotter.empty();
  const std::string& name = of_handler ? handler->snapshotter : configuration.snapshotter;
  if (name == kOverlay) return Finding::Met(name);
  return Finding::Lacking(name.empty() ? "not told" : name,
                          "writable layers are read and written as overlayfs has them",
                          "set snapshotter = \"overlayfs\" in containerd's configuration");
}

Finding CheckHandler(const cri::RuntimeConfiguration& configuration) {
  const cri::RuntimeHandler* const handler = FindHandler(configuration);
  if (handler == nullptr) {
    return Finding::Lacking("",
                            "the containerd that runs has no runtime handler \"cryopod\", so that "
                            "no pod can be restored",
                            kDropIn);
  }
  if (configuration.shown && handler->type != kRuncType) {
    return Finding::Lacking(handler->type,
                            "handler \"cryopod\" has runtime_type \"" + handler->type + "\"",
                            std::string("set it to \"") + kRuncType + "\"; or: " + kDropIn);
  }
  return Finding::Met(configuration.shown ? handler->type : "by name");
}

Finding CheckAnnotations(const cri::RuntimeConfiguration& configuration) {
  const cri::RuntimeHandler* const handler = FindHandler(configuration);
  if (!configuration.shown || handler == nullptr) return Finding::Met("not told");
  std::vector<std::string> lacking;
  for (const std::string annotation :
       {wrapper::kRestoreFromAnnotation, wrapper::kRestoreOperationAnnotation}) {
    if (!AnyPasses(handler->pod_annotations, annotation)) {
      lacking.push_back(annotation + " (pod_annotations)");
    }
  }
  if (!AnyPasses(handler->container_annotations, kRestartCount)) {
    lacking.push_back(std::string(kRestartCount) + " (container_annotations)");
  }
  if (lacking.empty()) return Finding::Met("cryopod.dev/*, io.kubernetes.container.*");
  const std::string missing = Join(lacking);
  return Finding::Lacking("without " + missing,
                          "handler \"cryopod\" does not pass " + missing +
                              ", so that a pod's wish to be restored is not heard",
                          kDropIn);
}

}  // namespace cryopod::node
