#include "restore/first_program.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::restore {
namespace {

// As deep as the kernel follows scripts whose interpreters are scripts (fs/exec.c).
constexpr int kInterpretersMax = 5;
// BINPRM_BUF_SIZE: what the kernel looks at of a first line.
constexpr size_t kFirstLineBytesMax = 256;

std::string Absolute(const std::string& path, const std::string& directory) {
  return path.starts_with('/') ? path : directory + "/" + path;
}

// An invalid descriptor when it is no file that can be executed.
UniqueFd OpenExecutable(int root_fd, const std::string& path) {
  Result<UniqueFd> file = OpenInRoot(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file.ok()) return UniqueFd();
  struct stat facts {};
  const bool executable = ::fstat(file->get(), &facts) == 0 && S_ISREG(facts.st_mode) &&
                          (facts.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0;
  return executable ? std::move(*file) : UniqueFd();
}

UniqueFd OpenProgram(int root_fd, const FirstProgram& program) {
  if (program.name.find('/') != std::string::npos) {
    return OpenExecutable(root_fd, Absolute(program.name, program.working_directory));
  }
  for (const std::string& folder : program.folders) {
    UniqueFd file =
        OpenExecutable(root_fd, Absolute(folder, program.working_directory) + "/" + program.name);
    if (file.valid()) return file;
  }
  return UniqueFd();
}

// Empty when the file is no script.
std::string InterpreterOf(int file) {
  std::array<char, kFirstLineBytesMax> start{};
  const ssize_t got = ::pread(file, start.data(), start.size(), 0);
  if (got < 3 || start[0] != '#' || start[1] != '!') return {};
  const std::string_view text(start.data() + 2, static_cast<size_t>(got) - 2);
  const std::vector<std::string_view> words = SplitWords(text.substr(0, text.find('\n')));
  return words.empty() ? std::string() : std::string(words.front());
}

}  // namespace

FileCapabilities ParseFileCapabilities(std::string_view attribute) {
  vfs_ns_cap_data data{};
  const size_t bytes = attribute.size();
  if (bytes != XATTR_CAPS_SZ_2 && bytes != XATTR_CAPS_SZ_3) return {};
  std::memcpy(&data, attribute.data(), bytes);
  const uint32_t revision = le32toh(data.magic_etc) & VFS_CAP_REVISION_MASK;
  const bool known = bytes == XATTR_CAPS_SZ_2 ? revision == VFS_CAP_REVISION_2
                                              : revision == VFS_CAP_REVISION_3 && data.rootid == 0;
  if (!known) return {};
  const auto set = [](uint32_t low, uint32_t high) {
    return uint64_t{le32toh(high)} << 32 | le32toh(low);
  };
  return {set(data.data[0].permitted, data.data[1].permitted),
          set(data.data[0].inheritable, data.data[1].inheritable)};
}

FileCapabilities CapabilitiesOfProgram(const std::string& rootfs, const FirstProgram& program) {
  const Result<UniqueFd> root = OpenDirectory(rootfs);
  if (!root.ok()) return {};
  UniqueFd file = OpenProgram(root->get(), program);
  for (int i = 0; i < kInterpretersMax && file.valid(); ++i) {
    const std::string interpreter = InterpreterOf(file.get());
    if (interpreter.empty()) break;
    file = OpenExecutable(root->get(), Absolute(interpreter, program.working_directory));
  }
  if (!file.valid() || !InterpreterOf(file.get()).empty()) return {};
  std::array<char, XATTR_CAPS_SZ_3> attribute{};
  const ssize_t got =
      ::fgetxattr(file.get(), "security.capability", attribute.data(), attribute.size());
  if (got <= 0) return {};
  return ParseFileCapabilities({attribute.data(), static_cast<size_t>(got)});
}

}  // namespace cryopod::restore
