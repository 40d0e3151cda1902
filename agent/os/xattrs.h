#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/os/status.h"

namespace cryopod {

// By name and value, sorted by name.
using Xattrs = std::vector<std::pair<std::string, std::string>>;

// For calls that know no descriptors: an entry by its directory, which is not looked up again.
std::string DescriptorPath(int dir_fd, const std::string& name);

// The extended attributes of what such a path leads to, not followed; one that goes meanwhile is
// left out. `subject` names the entry in the error.
Result<Xattrs> ReadXattrs(const std::string& path, const std::string& subject);

}  // namespace cryopod
