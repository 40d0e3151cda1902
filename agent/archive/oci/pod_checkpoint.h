#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/archive/oci/program_record.h"
#include "agent/json/fields.h"
#include "agent/os/machine.h"
#include "agent/os/record_locks.h"
#include "agent/os/status.h"

namespace cryopod::archive {

inline constexpr int kSchemaVersion = 1;

// Old archives do not have the words of the CPU.
struct NodeFacts : Machine {
  std::string criu_version;
  std::string runtime_name;
  std::string runtime_version;
  bool operator==(const NodeFacts&) const = default;
};

struct MountRecord {
  std::string destination;  // in the container
  std::string source;       // on the node
  bool read_only = false;
  bool operator==(const MountRecord&) const = default;
};

// More of them in one container are refused.
inline constexpr size_t kRecordLocksMax = 4096;

// A file that a process had open, mapped or as its directory at the cut, and that is not in the
// archive: it stands on a volume that outlives the pod, or that was left out. The new pod's volume
// must show it at the same place.
struct ExternalFile {
  std::string mount_point;  // of the volume, in the container
  std::string path;         // from there; empty: the mount itself
  std::string volume;       // where it came from, on the source node
  bool regular = false;
  uint64_t size_bytes = 0;  // of a regular one, which must be as large again
  bool exact = true;        // false: its name cannot be told, and is shown with marks in it
  bool operator==(const ExternalFile&) const = default;
};

// More of them in one container are not listed.
inline constexpr size_t kExternalFilesMax = 1000;

struct ContainerCheckpoint {
  std::string name;
  std::string id;         // on the source node
  std::string image;      // as the pod asked for it
  std::string image_ref;  // resolved, with digest where the runtime knows it
  std::string image_id;   // digest of its configuration; empty in old archives
  ProgramRecord program;  // nothing in old archives
  uint32_t tasks = 0;     // threads dumped
  uint32_t processes = 0;
  uint64_t images_bytes = 0;  // CRIU images before compression
  uint64_t rootfs_bytes = 0;  // writable layer before compression
  std::vector<MountRecord> mounts;
  // Held at the cut. CRIU restores them, and loses those of a file again that a process has mapped;
  // so a restore looks for each and sets what is missing.
  std::vector<RecordLock> record_locks;
  std::vector<ExternalFile> external_files;
  bool operator==(const ContainerCheckpoint&) const = default;
};

// One that had ended with exit code 0 before the cut: an init container, or one of a pod that does
// not restart what ends well. A restore starts a program in its place that ends well at once.
struct FinishedContainer {
  std::string name;
  std::string image;
  std::string image_ref;
  bool operator==(const FinishedContainer&) const = default;
};

struct PhaseTiming {
  std::string name;
  uint64_t duration_us = 0;
  bool operator==(const PhaseTiming&) const = default;
};

// The config blob of the pod's manifest: what was checkpointed, where, and what it lacks.
struct PodCheckpoint {
  int schema_version = kSchemaVersion;
  std::string created;  // RFC 3339, UTC
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::string sandbox_id;
  std::string runtime_handler;
  std::string hostname;
  bool shares_pid_namespace = false;
  bool restore_once = false;  // on each node at most, whatever the UID of the pod that asks
  NodeFacts node;
  std::vector<ContainerCheckpoint> containers;  // in the order in which they were created
  std::vector<FinishedContainer> finished;
  std::vector<PhaseTiming> phases;  // up to the archive stage
  uint64_t freeze_us = 0;
  std::vector<std::string> lacks;  // content that was left out, a sentence each
  bool operator==(const PodCheckpoint&) const = default;
};

void Describe(json::Fields& fields, MountRecord& mount);
void Describe(json::Fields& fields, FinishedContainer& container);
void Describe(json::Fields& fields, PhaseTiming& phase);
void Describe(json::Fields& fields, PodCheckpoint& checkpoint);

std::string ToJson(const PodCheckpoint& checkpoint);
// Hostile input. Limits: 4 MiB, depth 32, 1,024 containers; every string a valid one of its kind.
// A newer schema version is refused by number. Errors: kDataLoss, kUnimplemented.
Result<PodCheckpoint> ParsePodCheckpoint(std::string_view json);

}  // namespace cryopod::archive
