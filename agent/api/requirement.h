#pragma once

#include <string>

namespace cryopod::api {

// What a node must have to checkpoint and restore. The names are part of the interface: scripts and
// the gateway's /readyz tell requirements apart by them. One that another stands on is unknown
// while the other is lacking, so that a single cause is named once.
inline constexpr char kKernel[] = "kernel";                    // Linux 5.14 or newer
inline constexpr char kCgroupFreezer[] = "cgroup-freezer";     // v1's freezer, or cgroup v2
inline constexpr char kCapabilities[] = "capabilities";        // of the agent
inline constexpr char kCriu[] = "criu";                        // CRIU 4.1 or newer starts
inline constexpr char kCriuFeatures[] = "criu-features";       // and can work on this kernel
inline constexpr char kCriuPlugin[] = "criu-plugin";           // loads our library, or does without
inline constexpr char kInnerPrograms[] = "inner-programs";     // cryopod-checkpoint, -restore
inline constexpr char kUnpack[] = "unpack";                    // cryopod-unpack can be confined
inline constexpr char kLandlock[] = "landlock";                // for archives of other nodes
inline constexpr char kDirectories[] = "directories";          // of the agent: there, private
inline constexpr char kDiskSpace[] = "disk-space";             // for archives
inline constexpr char kStagingMemory[] = "staging-memory";     // for a dump while it is taken
inline constexpr char kAgent[] = "agent";                      // answers at its socket
inline constexpr char kRuntimeSocket[] = "runtime-socket";     // cryopod-runtime reaches the agent
inline constexpr char kRuntime[] = "runtime";                  // containerd answers, 2.0 or newer
inline constexpr char kSnapshotter[] = "snapshotter";          // overlayfs
inline constexpr char kRuntimeHandler[] = "runtime-handler";   // "cryopod" in containerd
inline constexpr char kAnnotations[] = "runtime-annotations";  // the handler passes ours
inline constexpr char kRuntimeProgram[] = "runtime-program";   // its BinaryName is cryopod-runtime
inline constexpr char kOciRuntime[] = "oci-runtime";           // which finds its runc or crun

enum class RequirementState { kUnknown, kMet, kLacking };

// Source  agent/api/cryopod.proto, Requirement.
struct Requirement {
  std::string name;
  RequirementState state = RequirementState::kUnknown;
  std::string found;
  std::string reason;
  std::string remedy;
};

}  // namespace cryopod::api
