#include "agent/criu/images/judge_images.h"

#include <sys/mount.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <utility>

#include "agent/criu/images/criu_images.h"
#include "agent/criu/images/fill_list.h"
#include "agent/criu/images/image_file.h"
#include "agent/criu/images/judge_filters.h"
#include "agent/criu/images/judge_tmpfs.h"
#include "agent/criu/images/too_much.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/directory.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

constexpr uint32_t kMountFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

uint64_t Bit(std::string_view capability) { return uint64_t{1} << *CapabilityNumber(capability); }

// Which files CRIU writes of a container, each with what stands between its name's parts.
// Source: CRIU 4.2, criu/image-desc.c; the rest are those of kernels, of what no container has, of
// CRIUs before 2.0, and of network namespaces that are the container's own.
constexpr std::array<std::string_view, 15> kWholeNames = {
    "cgroup.img",   "files.img",     "inventory.img", "memfd.img",        "pipes-data.img",
    "pstree.img",   "fifo-data.img", "seccomp.img",   "remap-fpath.img",  "sk-queues.img",
    "tty-info.img", "tty-data.img",  "filelocks.img", "descriptors.json", kFillListFile};
constexpr std::array<std::string_view, 18> kNumbered = {
    "core-",    "fdinfo-",    "fs-",        "ids-",       "mm-",        "mountpoints-",
    "pagemap-", "pages-",     "pidns-",     "timens-",    "utsns-",     "pagemap-shmem-",
    "netns-",   "ipcns-var-", "ipcns-shm-", "ipcns-msg-", "ipcns-sem-", "ghost-file-"};
// Of a network namespace that a process of the container has made.
constexpr std::array<std::string_view, 10> kOfNetworks = {
    "netdev-",   "ifaddr-",    "route-",    "route6-",   "rule-",
    "iptables-", "ip6tables-", "nftables-", "netns-ct-", "netns-exp-"};

// `prefix`, a number in digits or in hexadecimal ones, `suffix`.
bool IsNumbered(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return false;
  if (name.size() <= prefix.size() + suffix.size()) return false;
  const std::string_view number =
      name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  return number.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsImageOfTmpfs(std::string_view name) {
  return IsNumbered(name, "tmpfs-", ".tar.gz.img") || IsNumbered(name, "tmpfs-dev-", ".tar.gz.img");
}

// Source: CRIU 4.2, compel/include/uapi/task-state.h.
constexpr uint32_t kTaskStopped = 3;

// Source: CRIU 4.2, images/fdinfo.proto (fd_types).
enum DescriptorType : uint32_t {
  kInetSocket = 4,
  kPacketSocket = 10,
  kTun = 15,
  kExternal = 16,
  kBpfMap = 19,
  kLastKnown = 20,
};

class Judging {
 public:
  Judging(int images_dir_fd, const LiveRules& rules) : dir_fd_(images_dir_fd), rules_(rules) {}

  Status Run() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> files, ListDirectory(dir_fd_));
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DumpedProcess> processes, ReadPstree(dir_fd_));
    if (processes.empty()) return BrokenImage("pstree.img", "no process");
    for (const DirectoryEntry& file : files) {
      if (!IsImageOfContainer(file.name, rules_)) {
        return TooMuch(Printable(file.name, 80), "an image of this name",
                       "those alone that CRIU writes of a container");
      }
      if (file.name.starts_with("mountpoints-")) CRYOPOD_RETURN_IF_ERROR(JudgeMounts(file.name));
      if (IsImageOfTmpfs(file.name)) {
        CRYOPOD_RETURN_IF_ERROR(JudgeTmpfs(dir_fd_, file.name, rules_, MayHold(/*first=*/false)));
      }
    }
    CRYOPOD_ASSIGN_OR_RETURN(FilterChains chains, FilterChains::Read(dir_fd_, rules_));
    for (const DumpedProcess& process : processes) {
      CRYOPOD_RETURN_IF_ERROR(JudgeThreads(process, &process == &processes.front(), chains));
    }
    CRYOPOD_RETURN_IF_ERROR(chains.Write());
    CRYOPOD_RETURN_IF_ERROR(JudgeInventory());
    return JudgeDescriptors();
  }

 private:
  // --- mounts

  const RuledMount* RuleOf(const std::string& mount_point) const {
    const RuledMount* found = nullptr;
    for (const RuledMount& rule : rules_.mounts) {
      if (rule.mount_point == mount_point) found = &rule;
    }
    return found;
  }

  Status JudgeMounts(const std::string& name) const {
    return RewriteEntries<wire::mnt_entry>(
        dir_fd_, name, kMountsMagic, [&](wire::mnt_entry& mount) -> Result<Verdict> {
          CRYOPOD_RETURN_IF_ERROR(CheckKnown(name, mount));
          if (mount.with_plugin()) {
            return TooMuch(name, "a mount that a plugin of CRIU makes", "none");
          }
          const RuledMount* const rule = RuleOf(mount.mountpoint());
          if (rule == nullptr) return Verdict::kKeep;
          const uint32_t kept = rule->at_least ? mount.flags() : mount.flags() & ~kMountFlags;
          if ((kept | rule->flags) == mount.flags()) return Verdict::kKeep;
          mount.set_flags(kept | rule->flags);
          return Verdict::kReplace;
        });
  }

  // --- tasks

  uint64_t MayHold(bool first) const {
    const bool set_id = !first && rules_.allows_set_id && !rules_.no_new_privs;
    return rules_.permitted | (set_id ? rules_.bounding : 0);
  }

  using Words = google::protobuf::RepeatedField<uint32_t>;
  // In place: a set as CRIU writes it has two words, and what is beyond `allowed` goes.
  static Status Cut(const std::string& name, uint64_t allowed, Words* set) {
    if (set->empty()) return Status();
    if (set->size() != 2) return BrokenImage(name, "a capability set of an odd size");
    set->Set(0, set->Get(0) & static_cast<uint32_t>(allowed));
    set->Set(1, set->Get(1) & static_cast<uint32_t>(allowed >> 32));
    return Status();
  }

  Status JudgeIds(const std::string& name, const wire::creds_entry& creds, uint64_t allowed) const {
    const auto asked = "user " + std::to_string(rules_.uid) + ", group " +
                       std::to_string(rules_.gid) + " and what they may become";
    if ((allowed & Bit("CAP_SETUID")) == 0) {
      for (const uint32_t uid : {creds.uid(), creds.euid(), creds.suid(), creds.fsuid()}) {
        if (uid == rules_.uid) continue;
        return TooMuch(name, "a process of user " + std::to_string(uid), asked);
      }
    }
    if ((allowed & Bit("CAP_SETGID")) != 0) return Status();
    for (const uint32_t gid : {creds.gid(), creds.egid(), creds.sgid(), creds.fsgid()}) {
      if (gid == rules_.gid || std::ranges::count(rules_.groups, gid) > 0) continue;
      return TooMuch(name, "a process of group " + std::to_string(gid), asked);
    }
    return Status();
  }

  Status JudgeCredentials(const std::string& name, bool first, wire::creds_entry* creds) const {
    CRYOPOD_RETURN_IF_ERROR(CheckKnown(name, *creds));
    const uint64_t allowed = MayHold(first);
    CRYOPOD_RETURN_IF_ERROR(JudgeIds(name, *creds, allowed));
    CRYOPOD_RETURN_IF_ERROR(Cut(name, allowed, creds->mutable_cap_prm()));
    CRYOPOD_RETURN_IF_ERROR(Cut(name, allowed, creds->mutable_cap_eff()));
    CRYOPOD_RETURN_IF_ERROR(Cut(name, allowed, creds->mutable_cap_amb()));
    CRYOPOD_RETURN_IF_ERROR(Cut(name, allowed | rules_.inheritable, creds->mutable_cap_inh()));
    CRYOPOD_RETURN_IF_ERROR(Cut(name, rules_.bounding, creds->mutable_cap_bnd()));
    if ((allowed & Bit("CAP_SETGID")) == 0) {
      Words* const groups = creds->mutable_groups();
      const auto kept = std::remove_if(groups->begin(), groups->end(), [&](uint32_t gid) {
        return gid != rules_.gid && std::ranges::count(rules_.groups, gid) == 0;
      });
      groups->Truncate(static_cast<int>(kept - groups->begin()));
    }
    // A fresh container has none; they change what an exec gives, and never to more than the sets.
    if ((allowed & Bit("CAP_SETPCAP")) == 0 && creds->secbits() != 0) creds->set_secbits(0);
    if (rules_.no_new_privs) creds->set_no_new_privs(1);
    creds->clear_lsm_sockcreate();
    creds->clear_apparmor_data();
    if (rules_.lsm_label.empty()) {
      creds->clear_lsm_profile();
    } else {
      creds->set_lsm_profile(rules_.lsm_label);
    }
    return Status();
  }

  // SCHED_OTHER, SCHED_BATCH and SCHED_IDLE need no right, a negative nice value does.
  void JudgeScheduling(bool first, wire::thread_core_entry* thread) const {
    static constexpr std::array<uint32_t, 3> kPlain = {0, 3, 5};
    if ((MayHold(first) & Bit("CAP_SYS_NICE")) != 0) return;
    if (std::ranges::count(kPlain, thread->sched_policy()) == 0) {
      thread->set_sched_policy(0);
      thread->set_sched_prio(0);
    }
    if (thread->sched_nice() < 0) thread->set_sched_nice(0);
  }

  // A process may raise its own, and nobody lowers it below what the container was given.
  Status JudgeProcess(const std::string& name, wire::task_core_entry* process) const {
    // As a RuntimeDefault profile has it: PER_LINUX, PER_LINUX32, with UNAME26, and the question.
    static constexpr std::array<uint32_t, 5> kPersonalities = {0, 8, 0x20000, 0x20008, 0xffffffff};
    CRYOPOD_RETURN_IF_ERROR(CheckKnown(name, *process));
    if (process->has_old_seccomp_mode() || process->has_old_seccomp_filter()) {
      return BrokenImage(name, "written by a CRIU older than 3.0");
    }
    if (!rules_.wakes_stopped.empty() && process->task_state() == kTaskStopped) {
      return Status(Code::kFailedPrecondition,
                    name +
                        " holds a process that was stopped at the cut and would be let run, "
                        "because stop signals hold what is restored on this node: " +
                        rules_.wakes_stopped,
                    Reason::kProcessStopped);
    }
    if (!rules_.seccomp_filters.empty() &&
        std::ranges::count(kPersonalities, process->personality()) == 0) {
      char shown[16];
      std::snprintf(shown, sizeof shown, "0x%x", process->personality());
      return TooMuch(name, std::string("a process of personality ") + shown, "the plain ones");
    }
    process->set_oom_score_adj(std::max(process->oom_score_adj(), rules_.oom_score_adj));
    process->clear_loginuid();
    if (!process->has_rlimits()) return Status();  // of one that has ended
    wire::task_rlimits_entry* const limits = process->mutable_rlimits();
    CRYOPOD_RETURN_IF_ERROR(CheckKnown(name, *limits));
    if (static_cast<size_t>(limits->rlimits_size()) > rules_.hard_limits.size()) {
      return TooMuch(name, "limits of resources that are not known", "those of Linux");
    }
    for (int i = 0; i < limits->rlimits_size(); ++i) {
      wire::rlimit_entry* const limit = limits->mutable_rlimits(i);
      const uint64_t hard = rules_.hard_limits[static_cast<size_t>(i)];
      limit->set_max(std::min(limit->max(), hard));
      limit->set_cur(std::min(limit->cur(), limit->max()));
    }
    return Status();
  }

  Status JudgeCore(const std::string& name, bool first, wire::core_entry& core) const {
    CRYOPOD_RETURN_IF_ERROR(CheckKnown(name, core));
    if (core.has_thread_core()) {
      wire::thread_core_entry* const thread = core.mutable_thread_core();
      CRYOPOD_RETURN_IF_ERROR(CheckKnown(name, *thread));
      if (!thread->has_creds()) return BrokenImage(name, "a task without credentials");
      CRYOPOD_RETURN_IF_ERROR(JudgeCredentials(name, first, thread->mutable_creds()));
      JudgeScheduling(first, thread);
    }
    return core.has_tc() ? JudgeProcess(name, core.mutable_tc()) : Status();
  }

  Status JudgeThreads(const DumpedProcess& process, bool first, FilterChains& chains) const {
    CRYOPOD_ASSIGN_OR_RETURN(const bool shared, chains.AreShared(process));
    CRYOPOD_RETURN_IF_ERROR(JudgeTask(process.pid, first, [&](const std::string& name, auto* task) {
      return chains.Judge(name, /*first=*/true, shared, task);
    }));
    for (const pid_t thread : process.threads) {
      if (thread == process.pid) continue;
      CRYOPOD_RETURN_IF_ERROR(JudgeTask(thread, first, [&](const std::string& name, auto* task) {
        return chains.Judge(name, /*first=*/false, shared, task);
      }));
    }
    return Status();
  }

  template <typename JudgeFilters>
  Status JudgeTask(pid_t task, bool first, const JudgeFilters& judge_filters) const {
    const std::string name = CoreImage(task);
    int tasks = 0;
    const auto judge = [&](wire::core_entry& core) -> Result<Verdict> {
      ++tasks;
      const std::string before = core.SerializeAsString();
      CRYOPOD_RETURN_IF_ERROR(JudgeCore(name, first, core));
      if (core.has_thread_core()) {
        CRYOPOD_RETURN_IF_ERROR(judge_filters(name, core.mutable_thread_core()));
      }
      return before == core.SerializeAsString() ? Verdict::kKeep : Verdict::kReplace;
    };
    CRYOPOD_RETURN_IF_ERROR(RewriteEntries<wire::core_entry>(dir_fd_, name, kCoreMagic, judge));
    return tasks == 1 ? Status() : BrokenImage(name, "not one task");
  }

  // --- the whole

  // The live label stands in each task; of which module the archive's were does not matter then.
  // This image alone has one magic number only.
  Status JudgeInventory() const {
    const std::string name = "inventory.img";
    const std::string family = EntryWriter(kInventoryMagic).image().substr(0, sizeof(uint32_t));
    CRYOPOD_ASSIGN_OR_RETURN(const std::string bytes, ReadFileAt(dir_fd_, name, kImageBytesMax));
    CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                             EntryReader::Of(family + bytes, name, kInventoryMagic));
    wire::inventory_entry inventory;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&inventory));
    if (!reader.AtEnd()) return BrokenImage(name, "more than one entry");
    if (inventory.lsmtype() == 0) return Status();
    inventory.set_lsmtype(0);
    EntryWriter writer(kInventoryMagic);
    writer.Append(inventory.SerializeAsString());
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file,
                             OpenBeneath(dir_fd_, name, O_WRONLY | O_TRUNC | O_NOFOLLOW));
    return WriteAll(file.get(), writer.image().substr(family.size())).While(name);
  }

  Status JudgeDescriptors() const {
    return RewriteEntries<wire::file_entry>(
        dir_fd_, kFilesImage, kFilesMagic, [&](wire::file_entry& file) -> Result<Verdict> {
          const auto needs = [&](const char* capability, const char* what) -> Result<Verdict> {
            if ((rules_.bounding & Bit(capability)) != 0) return Verdict::kKeep;
            return TooMuch(kFilesImage, what, std::string("none without ") + capability);
          };
          switch (file.type()) {
            case kInetSocket:
              if (file.isk().type() != SOCK_RAW) return Verdict::kKeep;
              return needs("CAP_NET_RAW", "a raw socket");
            case kPacketSocket:
              return needs("CAP_NET_RAW", "a packet socket");
            case kTun:
              return needs("CAP_NET_ADMIN", "a tun device");
            case kExternal:
            case kBpfMap:
              return TooMuch(kFilesImage, "a descriptor of something outside the container",
                             "none");
            default:
              if (file.type() != 0 && file.type() <= kLastKnown) return Verdict::kKeep;
              return TooMuch(kFilesImage, "a descriptor of a kind that is not known",
                             "those of CRIU 4.2 alone");
          }
        });
  }

  const int dir_fd_;
  const LiveRules& rules_;
};

}  // namespace

bool IsImageOfContainer(std::string_view name, const LiveRules& rules) {
  const auto is = [&](std::string_view prefix) { return IsNumbered(name, prefix, ".img"); };
  if (std::ranges::count(kWholeNames, name) > 0 || std::ranges::any_of(kNumbered, is)) return true;
  if (IsImageOfTmpfs(name) || IsNumbered(name, "cryopod-pages-", "")) return true;
  return std::ranges::any_of(kOfNetworks, is) && (rules.bounding & Bit("CAP_SYS_ADMIN")) != 0;
}

Status JudgeImages(int images_dir_fd, const LiveRules& rules) {
  return Judging(images_dir_fd, rules).Run();
}

}  // namespace cryopod::criu
