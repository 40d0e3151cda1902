#include "agent/os/credentials.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr std::array<std::string_view, 41> kCapabilityNames = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

// The fields after "<key>:" in the text of /proc/<pid>/status.
Result<std::string_view> FieldOf(std::string_view text, std::string_view key) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ':') {
      return line.substr(key.size() + 1);
    }
    begin = end + 1;
  }
  return Status(Code::kDataLoss, "/proc status has no " + std::string(key));
}

// Numbers separated by blanks. Errors: kDataLoss when there are not `count` of them.
template <typename T>
Status ReadNumbers(std::string_view text, std::string_view key, int base, T* numbers, int count) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string_view field, FieldOf(text, key));
  const char* at = field.data();
  const char* const end = field.data() + field.size();
  for (int i = 0; i < count; ++i) {
    while (at < end && (*at == ' ' || *at == '\t')) ++at;
    const auto [next, error] = std::from_chars(at, end, numbers[i], base);
    if (error != std::errc()) {
      return Status(Code::kDataLoss, "/proc status: " + std::string(key) + " is no number");
    }
    at = next;
  }
  return Status();
}

// As many numbers as there are; a task without supplementary groups has none.
Result<std::vector<uint32_t>> ReadGroups(std::string_view text) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string_view field, FieldOf(text, "Groups"));
  std::vector<uint32_t> groups;
  for (const std::string_view word : SplitWords(field)) {
    uint32_t group = 0;
    if (!ParseNumber(word, group)) {
      return Status(Code::kDataLoss, "/proc status: Groups has what is no number");
    }
    groups.push_back(group);
  }
  return groups;
}

}  // namespace

Result<TaskCredentials> ParseTaskCredentials(std::string_view text) {
  TaskCredentials credentials;
  CapabilitySets& sets = credentials.capabilities;
  int no_new_privs = 0;
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "Uid", 10, credentials.uids, 4));
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "Gid", 10, credentials.gids, 4));
  CRYOPOD_ASSIGN_OR_RETURN(credentials.groups, ReadGroups(text));
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "CapInh", 16, &sets.inheritable, 1));
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "CapPrm", 16, &sets.permitted, 1));
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "CapEff", 16, &sets.effective, 1));
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "CapBnd", 16, &sets.bounding, 1));
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "CapAmb", 16, &sets.ambient, 1));
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "NoNewPrivs", 10, &no_new_privs, 1));
  CRYOPOD_RETURN_IF_ERROR(ReadNumbers(text, "Seccomp", 10, &credentials.seccomp_mode, 1));
  credentials.no_new_privs = no_new_privs != 0;
  return credentials;
}

Result<TaskCredentials> ReadTaskCredentials(pid_t task) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile("/proc/" + std::to_string(task) + "/status"));
  return ParseTaskCredentials(text);
}

std::optional<int> CapabilityNumber(std::string_view name) {
  for (size_t number = 0; number < kCapabilityNames.size(); ++number) {
    if (kCapabilityNames[number] == name) return static_cast<int>(number);
  }
  return std::nullopt;
}

std::string FirstCapabilityName(uint64_t mask) {
  for (size_t number = 0; number < kCapabilityNames.size(); ++number) {
    if ((mask >> number & 1) != 0) return std::string(kCapabilityNames[number]);
  }
  return "a capability without a name";
}

}  // namespace cryopod
