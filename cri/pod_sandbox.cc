#include "cri/pod_sandbox.h"

#include <algorithm>
#include <tuple>

namespace cryopod::cri {
namespace {

constexpr size_t kCandidatesListedMax = 8;

Status Ambiguous(const std::string& pod, const std::vector<PodSandbox>& candidates) {
  std::string message = "pod \"" + pod + "\" is ambiguous; use one of these sandbox IDs:";
  for (size_t i = 0; i < candidates.size() && i < kCandidatesListedMax; ++i) {
    const PodSandbox& sandbox = candidates[i];
    message += " " + sandbox.id + " (" + sandbox.namespace_ + "/" + sandbox.name + ")";
  }
  if (candidates.size() > kCandidatesListedMax) message += " …";
  return Status(Code::kInvalidArgument, message);
}

Result<PodSandbox> ChooseByName(const std::vector<PodSandbox>& sandboxes, const std::string& pod) {
  std::vector<PodSandbox> matches;
  for (const PodSandbox& sandbox : sandboxes) {
    if (sandbox.namespace_ + "/" + sandbox.name == pod) matches.push_back(sandbox);
  }
  if (matches.empty()) return Status(Code::kNotFound, "no pod \"" + pod + "\" on this node");
  const auto rank = [](const PodSandbox& sandbox) {
    return std::tuple(sandbox.ready, sandbox.attempt, sandbox.created_at_ns);
  };
  std::sort(matches.begin(), matches.end(),
            [&rank](const PodSandbox& a, const PodSandbox& b) { return rank(a) > rank(b); });
  // Two pods of one name that both run are two different pods: guessing would take the wrong one.
  if (matches.size() > 1 && matches[1].ready && matches[1].uid != matches[0].uid) {
    return Ambiguous(pod, matches);
  }
  return matches[0];
}

Result<PodSandbox> ChooseById(const std::vector<PodSandbox>& sandboxes, const std::string& prefix) {
  std::vector<PodSandbox> matches;
  for (const PodSandbox& sandbox : sandboxes) {
    if (sandbox.id == prefix) return sandbox;
    if (sandbox.id.compare(0, prefix.size(), prefix) == 0) matches.push_back(sandbox);
  }
  if (matches.empty()) {
    return Status(Code::kNotFound,
                  "no pod sandbox \"" + prefix + "\" on this node; a pod is named NAMESPACE/POD");
  }
  if (matches.size() > 1) return Ambiguous(prefix, matches);
  return matches[0];
}

}  // namespace

Result<PodSandbox> ChoosePod(const std::vector<PodSandbox>& sandboxes, const std::string& pod) {
  if (pod.empty()) {
    return Status(Code::kInvalidArgument, "no pod named: NAMESPACE/POD or a sandbox ID");
  }
  if (pod.find('/') != std::string::npos) return ChooseByName(sandboxes, pod);
  return ChooseById(sandboxes, pod);
}

}  // namespace cryopod::cri
