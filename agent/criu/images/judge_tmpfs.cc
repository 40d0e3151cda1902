#include "agent/criu/images/judge_tmpfs.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string_view>
#include <unordered_set>

#include "agent/criu/images/image_file.h"
#include "agent/criu/images/tmpfs_tar.h"
#include "agent/criu/images/too_much.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

using Kind = TmpfsEntry::Kind;

constexpr uint32_t kForEverybody = 0666;
constexpr size_t kPathBytesShown = 200;

bool Matches(uint32_t ruled, uint32_t number) { return ruled == kAnyDevice || ruled == number; }

// What the device cgroup says, of reading and writing: for each the last rule that fits.
bool MayOpen(const LiveRules& rules, bool is_block, uint32_t major, uint32_t minor) {
  return std::ranges::any_of(std::string_view("rw"), [&](char access) {
    bool allowed = false;
    for (const DeviceRule& rule : rules.device_rules) {
      const bool of_type =
          rule.type.empty() || rule.type == "a" || rule.type == (is_block ? "b" : "c");
      const bool of_access = rule.access.empty() || rule.access.find(access) != std::string::npos;
      if (!of_type || !of_access || !Matches(rule.major, major) || !Matches(rule.minor, minor)) {
        continue;
      }
      allowed = rule.allow;
    }
    return allowed;
  });
}

class TmpfsJudging {
 public:
  TmpfsJudging(const std::string& image, const LiveRules& rules, uint64_t may_hold)
      : image_(image), rules_(rules), may_hold_(may_hold) {}

  Status Judge(const TmpfsEntry& entry) {
    CRYOPOD_RETURN_IF_ERROR(JudgeName(entry));
    if (entry.kind == Kind::kCharDevice || entry.kind == Kind::kBlockDevice) {
      return JudgeDevice(entry);
    }
    return entry.kind == Kind::kFile ? JudgeSetId(entry) : Status();
  }

 private:
  bool MayHold(std::string_view capability) const {
    return (may_hold_ >> *CapabilityNumber(capability) & 1) != 0;
  }

  // Two names of one hash are refused as well: some 40 bytes an entry are enough, and whoever looks
  // for such names gains nothing.
  Status JudgeName(const TmpfsEntry& entry) {
    const std::hash<std::string> hash;
    if (entry.kind == Kind::kHardlink && !paths_.contains(hash(entry.target))) {
      return BrokenImage(image_, "a hard link to what is no earlier entry, " + Shown(entry));
    }
    if (paths_.insert(hash(entry.path)).second) return Status();
    return BrokenImage(image_, "a name that stands twice, " + Shown(entry));
  }

  static std::string Shown(const TmpfsEntry& entry) {
    return "\"" + Printable(entry.path, kPathBytesShown) + "\"";
  }

  // Mode and owner are the fresh ones, or what a process of the request may make of them.
  bool GivesNoMore(const TmpfsEntry& entry, const RuledDevice& device) const {
    const bool narrow = (entry.mode & kForEverybody & ~device.mode) == 0;
    const bool same_owner = entry.uid == device.uid && entry.gid == device.gid;
    const bool everybodys = (device.mode & kForEverybody) == kForEverybody;
    return (narrow || rules_.uid == device.uid || MayHold("CAP_FOWNER")) &&
           (same_owner || everybodys || MayHold("CAP_CHOWN"));
  }

  Status JudgeDevice(const TmpfsEntry& entry) const {
    const bool is_block = entry.kind == Kind::kBlockDevice;
    const auto is_own = [&](const RuledDevice& device) {
      return device.is_block == is_block && device.major == entry.major &&
             device.minor == entry.minor && GivesNoMore(entry, device);
    };
    if (std::ranges::any_of(rules_.devices, is_own)) return Status();
    if (MayHold("CAP_MKNOD") && MayOpen(rules_, is_block, entry.major, entry.minor))
      return Status();
    char node[80];
    std::snprintf(node, sizeof node, "the %s device %u:%u (mode %04o, owner %u:%u) at ",
                  is_block ? "block" : "character", entry.major, entry.minor, entry.mode, entry.uid,
                  entry.gid);
    return TooMuch(image_, node + Shown(entry),
                   "the devices of a fresh container with their owners and modes, and with "
                   "CAP_MKNOD those that it may open");
  }

  Status JudgeSetId(const TmpfsEntry& entry) const {
    if (rules_.no_new_privs) return Status();
    if ((entry.mode & S_ISUID) != 0 && entry.uid != rules_.uid && !MayHold("CAP_SETUID")) {
      return TooMuch(image_,
                     "a set-uid file of user " + std::to_string(entry.uid) + ", " + Shown(entry),
                     "those of user " + std::to_string(rules_.uid) + " alone");
    }
    const bool is_member =
        entry.gid == rules_.gid || std::ranges::count(rules_.groups, entry.gid) > 0;
    if ((entry.mode & S_ISGID) != 0 && !is_member && !MayHold("CAP_SETGID")) {
      return TooMuch(image_,
                     "a set-gid file of group " + std::to_string(entry.gid) + ", " + Shown(entry),
                     "those of its own groups alone");
    }
    return Status();
  }

  const std::string& image_;
  const LiveRules& rules_;
  const uint64_t may_hold_;
  std::unordered_set<size_t> paths_;
};

}  // namespace

Status JudgeTmpfs(int images_dir_fd, const std::string& image, const LiveRules& rules,
                  uint64_t may_hold) {
  TmpfsJudging judging(image, rules, may_hold);
  return ReadTmpfsTar(images_dir_fd, image,
                      [&](const TmpfsEntry& entry) { return judging.Judge(entry); });
}

}  // namespace cryopod::criu
