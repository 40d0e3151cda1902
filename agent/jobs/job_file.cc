#include "agent/jobs/job_file.h"

#include "agent/os/file.h"

namespace cryopod::jobs {

bool IsNotUnderstood(const Status& status) {
  return status.code() == Code::kUnimplemented || status.code() == Code::kDataLoss;
}

namespace internal {

void DescribeFormat(json::Fields& fields) {
  uint32_t format = kFormat;
  uint32_t readable_from = kReadableFrom;
  fields.Optional("format", format);
  fields.Optional("readable_from", readable_from);
}

Status CheckFormat(const json::Value& document, const std::string& where) {
  uint32_t format = 0;
  uint32_t readable_from = 0;
  json::Fields fields(document, where);
  fields.Optional("format", format);
  fields.Optional("readable_from", readable_from);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  if (format >= kOldestFormat && readable_from <= kFormat) return Status();
  return Status(Code::kUnimplemented,
                where + ": written in format " + std::to_string(format) + " for readers from " +
                    std::to_string(readable_from) + " on; this program reads " +
                    std::to_string(kOldestFormat) + " to " + std::to_string(kFormat));
}

Result<std::string> ReadText(const std::string& path) {
  return ReadFile(path, kJobLimits.bytes_max);
}

Status WriteText(const std::string& path, const std::string& text) {
  const size_t slash = path.rfind('/');
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(path.substr(0, slash)));
  return WriteFileAtomically(directory.get(), path.substr(slash + 1), text);
}

}  // namespace internal
}  // namespace cryopod::jobs
