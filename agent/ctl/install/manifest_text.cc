#include "agent/ctl/install/manifest_text.h"

#include <algorithm>
#include <string_view>

namespace cryopod::ctl {
namespace {

constexpr char kUsualPrefix[] = "\"/opt/cryopod/";
constexpr char kSystemdCgroup[] = "# SystemdCgroup = true";

Result<std::string> ReplaceOnce(const std::string& text, std::string_view from,
                                const std::string& to) {
  const size_t at = text.find(from);
  if (at == std::string::npos || text.find(from, at + 1) != std::string::npos) {
    return Status(Code::kInternal, "it does not hold " + std::string(from) + " once");
  }
  return std::string(text).replace(at, from.size(), to);
}

}  // namespace

Status CheckPrefix(const std::string& prefix) {
  const bool fits =
      prefix.starts_with('/') && std::all_of(prefix.begin(), prefix.end(), [](char byte) {
        return byte >= 0x20 && byte < 0x7f &&
               std::string_view("\"\\%$:").find(byte) == std::string_view::npos;
      });
  if (fits) return Status();
  return Status(
      Code::kInvalidArgument,
      "cryopod lies in \"" + prefix +
          "\"; move it to a folder whose name is printable ASCII without \" \\ % $ and :");
}

Result<std::string> ManifestFor(const std::string& manifest, const std::string& prefix,
                                bool systemd_cgroup) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReplaceOnce(manifest, kUsualPrefix, "\"" + prefix + "/"));
  return systemd_cgroup ? ReplaceOnce(text, kSystemdCgroup, "SystemdCgroup = true") : text;
}

}  // namespace cryopod::ctl
