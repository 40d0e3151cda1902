#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "agent/node/checks.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::node {
namespace {

constexpr uint64_t kDiskBytesMin = uint64_t{256} << 20;

struct Expected {
  std::string path;
  mode_t forbidden = 0;
};

std::string Octal(mode_t mode) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode & 07777));
  return text.data();
}

Finding CheckDirectory(const Expected& expected) {
  struct stat status {};
  if (::stat(expected.path.c_str(), &status) != 0) {
    const int error = errno;
    return Finding::Lacking(expected.path + ": " + std::strerror(error),
                            expected.path + " cannot be used: " + std::strerror(error),
                            "start cryopod-agent, which makes it, or mend its parent folders");
  }
  const std::string found = expected.path + " has mode " + Octal(status.st_mode) +
                            " and belongs to user " + std::to_string(status.st_uid);
  if (!S_ISDIR(status.st_mode)) {
    return Finding::Lacking(found, expected.path + " is no folder", "move it away");
  }
  if (status.st_uid != ::geteuid()) {
    return Finding::Lacking(found, expected.path + " belongs to somebody else",
                            "chown root " + expected.path);
  }
  if ((status.st_mode & expected.forbidden) != 0) {
    return Finding::Lacking(
        found, expected.path + " is open to others, and what lies in it is not for them",
        "chmod " + Octal(status.st_mode & ~expected.forbidden) + " " + expected.path);
  }
  return Finding::Met(expected.path);
}

// The folder may not have been made yet.
std::string NearestFolder(std::filesystem::path path) {
  while (path.has_relative_path() && !PathExists(path)) path = path.parent_path();
  return path;
}

}  // namespace

Finding CheckDirectories(const settings::AgentSettings& settings) {
  for (const Expected& expected :
       {Expected{settings.run_dir, 022}, Expected{settings.jobs_dir(), 077},
        Expected{settings.state_dir, 022}, Expected{settings.store_root(), 077}}) {
    Finding finding = CheckDirectory(expected);
    if (!finding.reason.empty()) return finding;
  }
  return Finding::Met(settings.run_dir + ", " + settings.state_dir);
}

Finding CheckDiskSpace(const settings::AgentSettings& settings) {
  const Result<uint64_t> free_bytes = FreeBytes(NearestFolder(settings.state_dir));
  if (!free_bytes.ok()) {
    return Finding::Lacking("", free_bytes.status().message(),
                            "make " + settings.state_dir + " a folder on a disk that works");
  }
  const std::string found = WholeMib(*free_bytes) + " free at " + settings.state_dir;
  if (*free_bytes >= kDiskBytesMin) return Finding::Met(found);
  return Finding::Lacking(found, "there is no room for archives at " + settings.state_dir,
                          "delete archives (cryopodctl list, cryopodctl delete), or name a larger "
                          "disk as state_dir; at least " +
                              WholeMib(kDiskBytesMin) + " must be free");
}

}  // namespace cryopod::node
