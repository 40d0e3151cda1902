#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::criu {

enum class SeccompMode { kDisabled, kStrict, kFilter };

// With what rights a thread would come back from a dump. Capability sets are bit masks by
// capability number, as in /proc/<pid>/status.
struct TaskCredentials {
  pid_t tid = 0;  // in the container's PID namespace
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t effective_uid = 0;
  uint32_t effective_gid = 0;
  uint32_t saved_uid = 0;
  uint32_t saved_gid = 0;
  uint32_t file_system_uid = 0;
  uint32_t file_system_gid = 0;
  std::vector<uint32_t> groups;
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t effective = 0;
  uint64_t bounding = 0;
  uint64_t ambient = 0;
  uint32_t secure_bits = 0;
  bool no_new_privileges = false;
  SeccompMode seccomp = SeccompMode::kDisabled;
  std::string lsm_profile;  // SELinux or AppArmor; empty when there is none
};

// One core-<tid>.img: two magic numbers, then one core_entry. Nothing for a zombie, which has no
// rights and gets none. What is read is what CRIU's restore would make of the image: no_new_privs
// and seccomp that are not mentioned are off. The filters themselves stand in seccomp.img.
//
// Source  CRIU 4.2, images/core.proto, images/creds.proto, criu/cr-restore.c.
// Errors  kDataLoss.
Result<std::optional<TaskCredentials>> ParseCore(std::string_view image);

// Those of every thread that pstree.img names. Errors: kDataLoss, also for a thread without an
// image.
Result<std::vector<TaskCredentials>> ReadCredentials(int images_dir_fd);

}  // namespace cryopod::criu
