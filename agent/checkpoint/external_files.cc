#include "agent/checkpoint/external_files.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "agent/criu/images/criu_images.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

// In a JSON text, which holds no other bytes.
constexpr size_t kPathBytesShown = 4000;
constexpr std::string_view kDeleted = " (deleted)";

// The mount that shows `path`; nullptr when it is none of the bind mounts.
const PlacedMount* MountOf(const DumpTarget& target, std::string_view path) {
  std::string_view innermost;
  for (const std::string& mount_point : target.mount_points) {
    if (IsAtOrBelow(path, mount_point) && mount_point.size() >= innermost.size()) {
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
  file.mount_point = Printable(mount->mount_point, kPathBytesShown);
  file.path = Printable(inside, kPathBytesShown);
  file.volume = Printable(mount->source, kPathBytesShown);
  file.exact = file.path == inside && file.mount_point == mount->mount_point;
  return file;
}

std::set<std::string> PathsOf(const std::vector<SeenProcess>& processes) {
  std::set<std::string> paths;
  const auto add = [&paths](const std::string& path) {
    if (path.starts_with('/') && !path.ends_with(kDeleted)) paths.insert(path);
  };
  for (const SeenProcess& process : processes) {
    for (const SeenProcess::Link& link : process.links) add(link.target);
    const Result<std::vector<FileMapping>> mappings = ReadFileMappings(process.info.pid);
    if (!mappings.ok()) continue;  // it has ended meanwhile, and holds nothing
    for (const FileMapping& mapping : *mappings) add(mapping.path);
  }
  return paths;
}

}  // namespace

std::vector<archive::ExternalFile> FindExternalFiles(const DumpTarget& target,
                                                     const std::vector<SeenProcess>& processes) {
  std::vector<archive::ExternalFile> files;
  if (target.mounts.empty()) return files;
  for (const std::string& path : PathsOf(processes)) {
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
  sentences.reserve(files.size());
  for (const archive::ExternalFile& file : files) {
    sentences.push_back("container " + container + ": " + file.mount_point +
                        (file.path.empty() ? "" : "/" + file.path) + " (on " + file.volume +
                        " of the node)");
  }
  return sentences;
}

}  // namespace cryopod::checkpoint
