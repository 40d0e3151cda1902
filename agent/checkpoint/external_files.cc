#include "agent/checkpoint/external_files.h"

#include <algorithm>
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

std::vector<archive::ExternalFile> ExternalFilesOf(const DumpTarget& target,
                                                   const std::vector<criu::FileByPath>& held) {
  std::vector<archive::ExternalFile> files;
  for (const auto& [path, regular, size_bytes] : held) {
    const PlacedMount* const mount = MountOf(target, path);
    if (mount == nullptr || mount->origin == MountOrigin::kRemade) continue;
    if (files.size() == archive::kExternalFilesMax) break;
    const std::string_view inside =
        std::string_view(path).substr(std::min(path.size(), mount->mount_point.size() + 1));
    archive::ExternalFile& file = files.emplace_back();
    file.mount_point = Printable(mount->mount_point, kPathBytesShown);
    file.path = Printable(inside, kPathBytesShown);
    file.volume = Printable(mount->source, kPathBytesShown);
    file.regular = regular;
    file.size_bytes = size_bytes;
    file.exact = file.path == inside && file.mount_point == mount->mount_point;
  }
  return files;
}

}  // namespace

std::vector<archive::ExternalFile> FindExternalFiles(const DumpTarget& target,
                                                     const std::vector<SeenProcess>& processes) {
  if (target.mounts.empty()) return {};
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
  std::vector<criu::FileByPath> held;
  for (const std::string& path : paths) held.push_back({path});
  return ExternalFilesOf(target, held);
}

Result<std::vector<archive::ExternalFile>> ReadExternalFiles(const DumpTarget& target,
                                                             int images_dir_fd) {
  if (target.mounts.empty()) return std::vector<archive::ExternalFile>();
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<criu::FileByPath> held,
                           criu::ReadFilesByPath(images_dir_fd));
  return ExternalFilesOf(target, held);
}

void NameExternalFiles(const std::string& container,
                       const std::vector<archive::ExternalFile>& files,
                       std::vector<std::string>& names) {
  for (const archive::ExternalFile& file : files) {
    names.push_back("container " + container + ": " + file.mount_point +
                    (file.path.empty() ? "" : "/" + file.path) + " (on " + file.volume +
                    " of the node)");
  }
}

}  // namespace cryopod::checkpoint
