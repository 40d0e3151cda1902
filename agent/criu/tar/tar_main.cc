// tar, for CRIU alone: first in its PATH while it dumps. It makes the archive of a simple tmpfs
// itself; for all else, also for arguments that it does not know, it becomes the tar that comes
// later in the PATH.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/criu/tar/pack_tree.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

// Source: CRIU criu/filesystems.c (tmpfs_dump). The directory follows, then ".".
constexpr std::string_view kArguments[] = {
    "--create",          "--gzip",        "--no-unquote",           "--no-wildcards",
    "--one-file-system", "--check-links", "--preserve-permissions", "--sparse",
    "--numeric-owner",   "--directory"};
constexpr int kKnown = sizeof kArguments / sizeof kArguments[0];

bool IsDumpOfTmpfs(int argc, char** argv) {
  if (argc != 1 + kKnown + 2 || std::string_view(argv[argc - 1]) != ".") return false;
  for (int i = 0; i < kKnown; ++i) {
    if (argv[1 + i] != kArguments[i]) return false;
  }
  return true;
}

// Returns when there is no other tar.
void BecomeTheNextTar(char** argv) {
  const char* const directories = ::getenv("PATH");
  for (const std::string_view directory :
       Split(directories != nullptr ? directories : "/usr/bin:/bin", ':')) {
    const std::string program = std::string(directory) + "/tar";
    if (!IsSameFile(program, "/proc/self/exe")) ::execv(program.c_str(), argv);
  }
}

int Run(int argc, char** argv) {
  if (IsDumpOfTmpfs(argc, argv)) {
    const Result<UniqueFd> dir = OpenDirectory(argv[1 + kKnown]);
    const Result<bool> packed = dir.ok() ? PackSimpleTree(dir->get(), STDOUT_FILENO) : dir.status();
    if (packed.ok() && *packed) return 0;
    // Something may have been written already.
    if (!packed.ok()) {
      std::fprintf(stderr, "tar: %s\n", packed.status().message().c_str());
      return 2;
    }
  }
  BecomeTheNextTar(argv);
  std::fprintf(stderr, "tar: no other tar in PATH\n");
  return 127;
}

}  // namespace
}  // namespace cryopod::criu

int main(int argc, char** argv) { return cryopod::criu::Run(argc, argv); }
