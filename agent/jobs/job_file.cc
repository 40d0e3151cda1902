#include "agent/jobs/job_file.h"

namespace cryopod::jobs {

void DescribeKind(json::Fields& fields, JobKind kind) {
  JobKind found = kind;
  fields.Named("kind", found, kJobKinds);
  if (found != kind) fields.Fail("kind", "is that of another job");
}

bool IsNotUnderstood(const Status& status) {
  return status.code() == Code::kUnimplemented || status.code() == Code::kDataLoss;
}

namespace internal {

void Describe(json::Fields& fields, Format& format) {
  fields.Optional("format", format.number);
  fields.Optional("readable_from", format.readable_from);
}

Status CheckFormat(const json::Value& document, const std::string& where) {
  Format format;
  json::Fields fields(document, where);
  Describe(fields, format);
  CRYOPOD_RETURN_IF_ERROR(fields.status());
  if (format.number >= kOldestFormat && format.readable_from <= kFormat) return Status();
  return Status(Code::kUnimplemented,
                where + ": written in format " + std::to_string(format.number) +
                    " for readers from " + std::to_string(format.readable_from) +
                    " on; this program reads " + std::to_string(kOldestFormat) + " to " +
                    std::to_string(kFormat));
}

Status WriteText(const std::string& path, const std::string& text) {
  const size_t slash = path.rfind('/');
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(path.substr(0, slash)));
  return WriteFileAtomically(directory.get(), path.substr(slash + 1), text);
}

}  // namespace internal
}  // namespace cryopod::jobs
