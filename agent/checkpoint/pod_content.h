#pragma once

#include <string>
#include <vector>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Content of the pod that an archive does not carry yet, a sentence each, printable: files in
// emptyDir volumes and in volumes of the image, by whatever path they are mounted, and in /dev/shm;
// System V IPC objects; POSIX message queues. Empty when nothing would be lost. Volumes of other
// kinds outlive the pod and are not content of it.
//
// The pod may run or be frozen. Directories count as content, but those on the way to a subPath,
// which a kubelet makes anew.
Result<std::vector<std::string>> UncarriedContent(const ResolvedPod& pod);

// The reason that such a sentence is for not taking a checkpoint, with the remedy.
std::string NotCarried(const std::string& content);

}  // namespace cryopod::checkpoint
