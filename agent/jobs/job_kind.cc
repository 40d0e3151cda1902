#include "agent/jobs/job_kind.h"

#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "agent/os/log.h"
#include "agent/os/text.h"

namespace cryopod::jobs {
namespace {

constexpr size_t kIdBytesMax = 64;

bool IsIdByte(char byte) {
  const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
  return letter || (byte >= '0' && byte <= '9') || byte == '-';
}

}  // namespace

void DescribeKind(json::Fields& fields, JobKind kind) {
  JobKind found = kind;
  fields.Named("kind", found, kJobKinds);
  if (found != kind) fields.Fail("kind", "is that of another job");
}

std::string NewOperationId(JobKind kind) {
  uint32_t chance = 0;
  if (::getrandom(&chance, sizeof chance, 0) != sizeof chance) {
    chance = static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  std::array<char, 16> tail{};
  std::snprintf(tail.data(), tail.size(), "-%08x", chance);
  return std::string(1, kJobKinds[static_cast<size_t>(kind)].front()) + "-" +
         NowText("%Y%m%d-%H%M%S") + tail.data();
}

Status CheckOperationId(const std::string& id) {
  if (!id.empty() && id.size() <= kIdBytesMax && id.front() != '-' &&
      std::all_of(id.begin(), id.end(), IsIdByte)) {
    return Status();
  }
  return Status(Code::kInvalidArgument,
                "operation ID \"" + JsonEscape(id.substr(0, 80)) +
                    "\": letters, digits and '-' are allowed, at most 64, no '-' first");
}

}  // namespace cryopod::jobs
