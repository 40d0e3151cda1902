#include "agent/os/xattrs.h"

#include <linux/limits.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "agent/os/text.h"

namespace cryopod {

std::string DescriptorPath(int dir_fd, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(dir_fd) + "/" + name;
}

Result<Xattrs> ReadXattrs(const std::string& path, const std::string& subject) {
  // Most entries have none, and need no buffer for them.
  if (::llistxattr(path.c_str(), nullptr, 0) == 0) return Xattrs{};
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  if (size < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) return Xattrs{};
  if (size < 0) return ErrnoStatus(errno, "llistxattr", subject);
  names.resize(static_cast<size_t>(size));
  std::string value(XATTR_SIZE_MAX, '\0');
  Xattrs xattrs;
  for (const std::string_view part : Split(names, '\0')) {
    if (part.empty()) continue;  // behind the last name's end
    std::string name(part);
    const ssize_t got = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (got < 0 && errno == ENODATA) continue;
    if (got < 0) return ErrnoStatus(errno, "lgetxattr " + name, subject);
    xattrs.emplace_back(std::move(name), value.substr(0, static_cast<size_t>(got)));
  }
  std::ranges::sort(xattrs);
  return xattrs;
}

}  // namespace cryopod
