#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/os/status.h"
#include "cri/pod_sandbox.h"
#include "cri/runtime_client.h"

namespace cryopod::test {

// A container runtime that speaks CRI on a unix socket and runs nothing: what it is told to create,
// start, stop and remove it remembers and lists, with verbose answers of containerd's shape.
//
// Threads  any.
class FakeCriServer {
 public:
  // Serves at `socket_path` when this returns.
  explicit FakeCriServer(const std::string& socket_path);
  ~FakeCriServer();

  // Like RunPodSandbox and CreateContainer + StartContainer, but not among calls(); return the new
  // ID.
  std::string AddPod(const std::string& sandbox_config_json,
                     const std::string& runtime_handler = "");
  std::string AddContainer(const std::string& sandbox_id, const std::string& container_config_json,
                           pid_t pid);

  void SetSandboxReady(const std::string& sandbox_id, bool ready);
  void SetContainerState(const std::string& container_id, cri::ContainerState state);
  // In place of the text that "info" of the verbose answer would hold.
  void SetVerboseInfo(const std::string& sandbox_or_container_id, const std::string& json);
  void SetExecResult(const cri::ExecResult& result);

  // The entry "config" of Status' verbose answer, containerd's JSON; its runtimes are the handlers.
  void SetRuntimeConfig(const std::string& json, const std::string& snapshotter = "overlayfs");

  // The next call of `method` ("StartContainer") fails; later ones are served again.
  void FailNext(const std::string& method, Code code, const std::string& message);
  // Called with the subject of a call of `method`, as calls() has it, before it is served.
  using Hook = std::function<void(const std::string& subject)>;
  void BeforeEach(const std::string& method, Hook hook);
  // Calls of `method` get no answer until the caller gives up or this server ends.
  void Hang(const std::string& method);
  // The verbose answers get an entry of so many bytes.
  void PadVerboseAnswers(size_t size_bytes);

  // "StartContainer 4f…", in order of arrival; a creation is named by its object's name.
  std::vector<std::string> calls() const;
  std::vector<std::string> sandbox_ids() const;
  std::vector<std::string> container_ids() const;
  // As the creator sent it, JSON.
  std::string sandbox_config(const std::string& sandbox_id) const;
  std::string container_config(const std::string& container_id) const;
  cri::ContainerState container_state(const std::string& container_id) const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace cryopod::test
