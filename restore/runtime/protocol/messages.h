#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/seccomp_filters.h"
#include "agent/os/status.h"
#include "agent/os/unix_socket.h"

// The messages of runtime.proto as plain values. Fields are described there.
//
// Threads  no state; a connection belongs to one thread at a time.
namespace cryopod::wrapper {

// Annotations of a pod that ask for a restore.
inline constexpr char kRestoreFromAnnotation[] = "cryopod.dev/restore-from";
inline constexpr char kRestoreOperationAnnotation[] = "cryopod.dev/restore-operation";
// How it is to be restored.
inline constexpr char kRestoreOnceAnnotation[] = "cryopod.dev/restore-once";  // true, false
inline constexpr char kOnFailureAnnotation[] =
    "cryopod.dev/on-restore-failure";                                        // fail, cold-start
inline constexpr char kDifferencesAnnotation[] = "cryopod.dev/differences";  // differences.h

struct Request {
  enum class Kind {
    kUnspecified = 0,
    kSandbox = 1,
    kCreate = 2,
    kStart = 3,
    kDeleted = 4,
    kColdStart = 5
  };
  Kind kind = Kind::kUnspecified;
  std::string container_id;
  std::string sandbox_id;
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::string container_name;
  std::string restore_from;
  std::string restore_operation;
  std::string bundle;
  std::string state_dir;
  std::string rootfs;
  std::string cgroups_path;
  std::map<std::string, std::string> namespace_paths;
  bool cgroup_namespace = false;
  std::vector<uint64_t> hard_limits;
  std::vector<SeccompFilter> seccomp_filters;
  std::string seccomp_failure;
  bool restore_once = false;
  bool cold_start = false;
  std::string differences;
  std::string image;
  std::string image_ref;
  std::string image_id;
  std::string failure;
  std::string failure_reason;
  bool operator==(const Request&) const = default;
};

// All empty: there is no plugin.
struct HoldPlan {
  std::string criu_config_file;
  std::string cgroup_dir;
  std::string record_locks_file;
  bool operator==(const HoldPlan&) const = default;
};

struct Plan {
  std::string images_dir;
  std::string work_dir;
  std::string criu_config_file;
  std::string criu;
  HoldPlan hold = {};
  bool operator==(const Plan&) const = default;
};

struct Answer {
  enum class Decision { kUnspecified = 0, kPass = 1, kRestore = 2, kFail = 3, kFinished = 4 };
  Decision decision = Decision::kUnspecified;
  std::string reason;
  Plan plan;
  bool may_start_cold = false;
  std::string reason_code;

  static Answer Pass() { return {Decision::kPass, "", {}, false, ""}; }
  static Answer Fail(std::string reason) {
    return {Decision::kFail, std::move(reason), {}, false, ""};
  }
  // A failure before anything was touched: may_start_cold where no later try would end otherwise.
  static Answer Refuse(const Status& why);
  static Answer Finished() { return {Decision::kFinished, "", {}, false, ""}; }
  static Answer Restore(Plan plan) { return {Decision::kRestore, "", std::move(plan), false, ""}; }
  bool operator==(const Answer&) const = default;
};

struct Outcome {
  bool restored = false;
  int64_t pid = 0;
  std::string log;
  bool operator==(const Outcome&) const = default;
};

// Seccomp filters as the wrapper keeps them.
struct FilterRecord {
  std::string key;
  std::vector<SeccompFilter> filters;
  bool operator==(const FilterRecord&) const = default;
};

inline constexpr size_t kOutcomeLogBytesMax = 4096;
// In the work directory: what the launcher and CRIU's plugin have to say.
inline constexpr char kLauncherLogFile[] = "launcher.log";

std::string Serialize(const Request& request);
std::string Serialize(const Answer& answer);
std::string Serialize(const Outcome& outcome);
std::string Serialize(const FilterRecord& record);
// The bytes of one frame. Errors: kDataLoss (no such message, or no kind that is known).
Result<Request> ParseRequest(std::string_view bytes);
// Errors: kDataLoss.
Result<FilterRecord> ParseFilterRecord(std::string_view bytes);

// One frame each way. Errors as in SendFrame and ReceiveFrame; kDataLoss (no such message, or no
// decision that is known).
template <typename Message>
Status Send(int fd, const Message& message, Deadline deadline) {
  return SendFrame(fd, Serialize(message), deadline);
}
Result<Answer> ReceiveAnswer(int fd, Deadline deadline);
Result<Outcome> ReceiveOutcome(int fd, Deadline deadline);

}  // namespace cryopod::wrapper
