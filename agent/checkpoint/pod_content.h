#pragma once

#include <string>
#include <vector>

#include "agent/checkpoint/dump_target.h"
#include "agent/checkpoint/job.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Content of the pod that an archive does not carry yet, a sentence each: files in emptyDir volumes
// and in /dev/shm, System V IPC objects, POSIX message queues. Empty when nothing would be lost.
// Volumes of other kinds outlive the pod and are not content of it.
Result<std::vector<std::string>> UncarriedContent(const ResolvedPod& pod);

// Pure: is `host_path` an emptyDir as the kubelet lays it out
// (<root>/pods/<uid>/volumes/kubernetes.io~empty-dir/<name>)?
bool IsEmptyDirVolume(const std::string& host_path);

}  // namespace cryopod::checkpoint
