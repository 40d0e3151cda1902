#include "agent/daemon/operations/gone_pods.h"

#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "agent/os/file.h"
#include "agent/os/log.h"
#include "restore/runtime/protocol/consumed_record.h"

namespace cryopod::daemon {
namespace {

using std::chrono::seconds;

constexpr seconds kInterval{10};
constexpr seconds kCallTimeout{10};

}  // namespace

void GonePods::End(const std::string& pod_uid, std::chrono::nanoseconds gone_for) {
  if (gone_for >= kRestoreTimeout) restores_.EndForPod(pod_uid);
  if (gone_for < kRecordTimeout) return;
  const Status removed = wrapper::RemoveConsumed(agent_.config.state_dir, pod_uid);
  if (!removed.ok()) {
    Log(LogLevel::kWarning, "removing the record of a pod that is gone",
        {{"pod_uid", pod_uid}, {"reason", removed.message()}});
  }
}

void GonePods::Look(Deadline::Clock::time_point now) {
  const std::vector<std::string> restoring = restores_.ListPods();
  std::set<std::string> kept(restoring.begin(), restoring.end());
  if (const auto recorded = wrapper::ListConsumed(agent_.config.state_dir); recorded.ok()) {
    kept.insert(recorded->begin(), recorded->end());
  }
  if (kept.empty()) return gone_since_.clear();
  const Result<std::vector<cri::PodSandbox>> sandboxes =
      agent_.runtime.ListPodSandboxes(Deadline::After(kCallTimeout));
  if (!sandboxes.ok()) return gone_since_.clear();
  for (const cri::PodSandbox& sandbox : *sandboxes) kept.erase(sandbox.uid);
  std::erase_if(kept, [this](const std::string& pod_uid) {
    return PathExists(kubelet_pods_ + "/" + pod_uid);
  });
  std::erase_if(gone_since_, [&](const auto& gone) { return !kept.contains(gone.first); });
  for (const std::string& pod_uid : kept) {
    End(pod_uid, now - gone_since_.try_emplace(pod_uid, now).first->second);
  }
}

std::jthread WatchGonePods(const AgentParts& agent, RestoreOperations& restores) {
  return std::jthread([agent, &restores](const std::stop_token& stop) {
    GonePods pods(agent, restores);
    std::mutex mutex;
    std::condition_variable_any asked;
    std::unique_lock lock(mutex);
    while (!asked.wait_for(lock, stop, kInterval, [&stop] { return stop.stop_requested(); })) {
      pods.Look(Deadline::Clock::now());
    }
  });
}

}  // namespace cryopod::daemon
