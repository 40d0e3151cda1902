#include "agent/checkpoint/external_files.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "agent/criu/images/criu_images.h"
#include "agent/criu/printable.h"
#include "agent/os/proc.h"

namespace cryopod::checkpoint {
namespace {

// In a JSON text, which holds no other bytes.
constexpr size_t kPathBytesShown = 4000;
constexpr std::string_view kDeleted = " (deleted)";

bool IsBeneath(std::string_view path, std::string_view directory) {
  if (directory == "/") return true;
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// The mount that shows `path`; nullptr when it is none of the bind mounts.
const PlacedMount* MountOf(const DumpTarget& target, std::string_view path) {
  std::string_view innermost;
  for (const std::string& mount_point : target.mount_points) {
    if (IsBeneath(path, mount_point) && mount_point.size() >= innermost.size()) {
      innermost = mount_point;
    }
  }
  for (const PlacedMount& mount : target.mounts) {
    if (mount.mount_point == innermost) return &mount;
  }
  return nullptr;
}

std::optional<archive::ExternalFile> ExternalFileAt(const DumpTarget& target,
                                                    const std::string& path) {
  const PlacedMount* const mount = MountOf(target, path);
  if (mount == nullptr || mount->origin == MountOrigin::kRemade) return std::nullopt;
  const std::string_view inside =
      std::string_view(path).substr(std::min(path.size(), mount->mount_point.size() + 1));
  archive::ExternalFile file;
  file.mount_point = criu::Printable(mount->mount_point, kPathBytesShown);
  file.path = criu::Printable(inside, kPathBytesShown);
  file.volume = criu::Printable(mount->source, kPathBytesShown);
  file.exact = file.path == inside && file.mount_point == mount->mount_point;
  return file;
}

void AddLink(pid_t pid, const std::string& name, std::set<std::string>& paths) {
  Result<std::string> link = ReadProcLink(pid, name);
  if (link.ok() && link->starts_with('/') && !link->ends_with(kDeleted)) {
    paths.insert(std::move(link).value());
  }
}

// A process that has ended meanwhile holds nothing.
void AddPathsOf(pid_t pid, std::set<std::string>& paths) {
  for (const char* name : {"cwd", "exe"}) AddLink(pid, name, paths);
  const Result<std::vector<int>> descriptors = ListDescriptors(pid);
  if (!descriptors.ok()) return;
  for (const int number : *descriptors) AddLink(pid, "fd/" + std::to_string(number), paths);
  const Result<std::vector<FileMapping>> mappings = ReadFileMappings(pid);
  if (!mappings.ok()) return;
  for (const FileMapping& mapping : *mappings) {
    if (!mapping.path.ends_with(kDeleted)) paths.insert(mapping.path);
  }
}

}  // namespace

std::vector<archive::ExternalFile> FindExternalFiles(const DumpTarget& target) {
  std::vector<archive::ExternalFile> files;
  if (target.mounts.empty()) return files;
  const Result<std::vector<pid_t>> pids = target.cgroup.Processes();
  if (!pids.ok()) return files;
  std::set<std::string> paths;
  for (const pid_t pid : *pids) AddPathsOf(pid, paths);
  for (const std::string& path : paths) {
    std::optional<archive::ExternalFile> file = ExternalFileAt(target, path);
    if (file && files.size() < archive::kExternalFilesMax) files.push_back(std::move(*file));
  }
  return files;
}

Result<std::vector<archive::ExternalFile>> ReadExternalFiles(const DumpTarget& target,
                                                             int images_dir_fd) {
  std::vector<archive::ExternalFile> files;
  if (target.mounts.empty()) return files;
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<criu::FileByPath> dumped,
                           criu::ReadFilesByPath(images_dir_fd));
  for (const criu::FileByPath& one : dumped) {
    std::optional<archive::ExternalFile> file = ExternalFileAt(target, one.path);
    if (!file || files.size() == archive::kExternalFilesMax) continue;
    file->regular = one.regular;
    file->size_bytes = one.size_bytes;
    files.push_back(std::move(*file));
  }
  return files;
}

std::vector<std::string> NameExternalFiles(const std::string& container,
                                           const std::vector<archive::ExternalFile>& files) {
  std::vector<std::string> sentences;
  for (const archive::ExternalFile& file : files) {
    sentences.push_back("container " + container + ": " + file.mount_point +
                        (file.path.empty() ? "" : "/" + file.path) + " (on " + file.volume +
                        " of the node)");
  }
  return sentences;
}

}  // namespace cryopod::checkpoint
