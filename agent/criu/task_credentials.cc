#include "agent/criu/task_credentials.h"

#include <utility>

#include "agent/criu/criu_images.h"
#include "agent/criu/entry_reader.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/file.h"

namespace cryopod::criu {
namespace {

constexpr std::string_view kName = "core image";
constexpr uint32_t kCoreMagic = 0x55053847;
// Registers, sigactions, timers and queued signals; measured up to 4 KiB.
constexpr size_t kCoreBytesMax = size_t{1} << 20;
constexpr uint32_t kTaskDead = 2;       // compel/include/uapi/task-state.h
constexpr uint32_t kGroupsMax = 65536;  // NGROUPS_MAX

// CRIU writes a set as two words, the low one first.
template <typename Words>
Result<uint64_t> CapabilitySet(const Words& words) {
  if (words.size() != 2) return BrokenImage(kName, "a capability set has not two words");
  return uint64_t{words.Get(0)} | uint64_t{words.Get(1)} << 32;
}

// The ambient set came with CRIU 3.15 and is absent when there is none.
template <typename Words>
Result<uint64_t> OptionalCapabilitySet(const Words& words) {
  if (words.empty()) return uint64_t{0};
  return CapabilitySet(words);
}

SeccompMode ModeOf(wire::seccomp_mode mode) {
  switch (mode) {
    case wire::strict:
      return SeccompMode::kStrict;
    case wire::filter:
      return SeccompMode::kFilter;
    case wire::disabled:
      break;
  }
  return SeccompMode::kDisabled;
}

Status TakeCapabilities(const wire::creds_entry& creds, TaskCredentials* task) {
  CRYOPOD_ASSIGN_OR_RETURN(task->inheritable, CapabilitySet(creds.cap_inh()));
  CRYOPOD_ASSIGN_OR_RETURN(task->permitted, CapabilitySet(creds.cap_prm()));
  CRYOPOD_ASSIGN_OR_RETURN(task->effective, CapabilitySet(creds.cap_eff()));
  CRYOPOD_ASSIGN_OR_RETURN(task->bounding, CapabilitySet(creds.cap_bnd()));
  CRYOPOD_ASSIGN_OR_RETURN(task->ambient, OptionalCapabilitySet(creds.cap_amb()));
  return Status();
}

void TakeIds(const wire::creds_entry& creds, TaskCredentials* task) {
  task->uid = creds.uid();
  task->gid = creds.gid();
  task->effective_uid = creds.euid();
  task->effective_gid = creds.egid();
  task->saved_uid = creds.suid();
  task->saved_gid = creds.sgid();
  task->file_system_uid = creds.fsuid();
  task->file_system_gid = creds.fsgid();
  task->groups.assign(creds.groups().begin(), creds.groups().end());
}

}  // namespace

Result<std::optional<TaskCredentials>> ParseCore(std::string_view image) {
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(image, kName, kCommonImageMagic, kCoreMagic));
  wire::core_entry core;
  CRYOPOD_RETURN_IF_ERROR(reader.Next(&core));
  if (!reader.AtEnd()) return BrokenImage(kName, "holds more than one task");
  if (core.has_tc() && core.tc().task_state() == kTaskDead) {
    return std::optional<TaskCredentials>();
  }
  const wire::thread_core_entry& thread = core.thread_core();
  if (!thread.has_creds()) return BrokenImage(kName, "holds no credentials");
  const wire::creds_entry& creds = thread.creds();
  if (creds.groups_size() > static_cast<int>(kGroupsMax)) {
    return BrokenImage(kName, "names more groups than a process can have");
  }

  TaskCredentials task;
  TakeIds(creds, &task);
  CRYOPOD_RETURN_IF_ERROR(TakeCapabilities(creds, &task));
  task.secure_bits = creds.secbits();
  task.no_new_privileges = creds.no_new_privs() != 0;
  // As CRIU's restore chooses: the old place, where it is filled, wins.
  task.seccomp = ModeOf(core.tc().has_old_seccomp_mode() ? core.tc().old_seccomp_mode()
                                                         : thread.seccomp_mode());
  task.lsm_profile = creds.lsm_profile();
  return std::optional<TaskCredentials>(std::move(task));
}

Result<std::vector<TaskCredentials>> ReadCredentials(int images_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DumpedProcess> processes, ReadPstree(images_dir_fd));
  std::vector<TaskCredentials> credentials;
  for (const DumpedProcess& process : processes) {
    for (const pid_t tid : process.threads) {
      const std::string name = "core-" + std::to_string(tid) + ".img";
      Result<std::string> image = ReadFileAt(images_dir_fd, name, kCoreBytesMax);
      if (!image.ok()) return Status(Code::kDataLoss, image.status().message());
      Result<std::optional<TaskCredentials>> task = ParseCore(*image);
      if (!task.ok()) return task.status().While(name);
      if (!task->has_value()) continue;
      (*task)->tid = tid;
      credentials.push_back(**std::move(task));
    }
  }
  return credentials;
}

}  // namespace cryopod::criu
