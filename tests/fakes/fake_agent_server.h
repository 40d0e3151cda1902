#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/api/types.h"
#include "agent/os/status.h"

namespace cryopod::test {

// An agent that speaks cryopod.v1.PodCheckpoints on a unix socket and touches no pod: it answers
// what it was told to, and keeps archives as bytes in memory.
//
// Threads  any.
class FakeAgentServer {
 public:
  // Serves at `socket_path` when this returns.
  explicit FakeAgentServer(const std::string& socket_path);
  ~FakeAgentServer();

  void AddArchive(const api::ArchiveSummary& summary, const std::string& bytes,
                  const std::string& pod_checkpoint_json = "{}");
  void AddOperation(const api::Operation& operation);
  void AddLog(const std::string& name, const std::string& text);
  void SetCheckpoint(const std::vector<api::Progress>& events, const api::CheckpointResult& result);
  void SetRestore(const std::vector<api::Progress>& events, const api::RestoreResult& result);
  void SetNode(const api::NodeInfo& node);
  void SetMetrics(const std::string& text);

  // The next call of `method` ("Export") fails before its first answer.
  void FailNext(const std::string& method, Code code, const std::string& message,
                Reason reason = Reason::kNone);
  // The same, with a reason that is none of ours.
  void FailNextAsNewer(const std::string& method, Code code, const std::string& message,
                       const std::string& word);
  // Calls of a streaming `method` fail after their events or bytes.
  void FailAtEnd(const std::string& method, const Status& status,
                 const api::FailureDetails& details = {});
  // Calls of `method` get no answer until the caller gives up or this server ends.
  void Hang(const std::string& method);
  // Operations end well, but without a result.
  void WithholdResults();

  std::vector<std::string> calls() const;
  api::CheckpointRequest checkpoint_request() const;
  api::RestoreRequest restore_request() const;
  bool has_archive(const std::string& name) const;
  std::string archive_bytes(const std::string& name) const;
  std::string exported_container() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace cryopod::test
