#include "agent/checkpoint/start_criu.h"

#include <chrono>
#include <utility>

#include "agent/os/deadline.h"
#include "agent/os/file.h"

namespace cryopod::checkpoint {
namespace {

constexpr std::chrono::seconds kCriuTimeout{10};

// CRIU keeps what it has learned of the kernel in this file, until the next boot. Whatever runs
// first learns it anew, which takes some 30 ms: that must not be a dump, inside a freeze. Source:
// CRIU criu/kerndat.c (KERNDAT_CACHE_FILE).
constexpr char kKernelFactsFile[] = "/run/criu.kdat";

Status LearnKernel(const std::string& criu_program) {
  if (PathExists(kKernelFactsFile)) return Status();
  return criu::CheckFeatures(criu_program, Deadline::After(kCriuTimeout)).While("checking CRIU");
}

}  // namespace

Result<StartedCriu> StartedCriu::Start(const std::string& criu_program,
                                       const std::string& tools_dir, size_t containers) {
  CRYOPOD_ASSIGN_OR_RETURN(criu::VersionInquiry version, criu::VersionInquiry::Begin(criu_program));
  StartedCriu started(criu_program, tools_dir, containers, std::move(version));
  CRYOPOD_ASSIGN_OR_RETURN(started.ready_, started.Spawn());
  return started;
}

Result<criu::Version> StartedCriu::Check() {
  if (!version_) return Status(Code::kFailedPrecondition, "CRIU was asked already");
  const Deadline deadline = Deadline::After(kCriuTimeout);
  Result<criu::Version> version = std::move(*version_).Answer(deadline);
  version_.reset();
  if (version.ok()) CRYOPOD_RETURN_IF_ERROR(LearnKernel(program_));
  return version;
}

Result<std::vector<criu::CriuProcess>> StartedCriu::Take() {
  if (!ready_.empty()) return std::exchange(ready_, {});
  return Spawn();
}

Result<std::vector<criu::CriuProcess>> StartedCriu::Spawn() const {
  std::vector<criu::CriuProcess> spawned;
  for (size_t i = 0; i < containers_; ++i) {
    CRYOPOD_ASSIGN_OR_RETURN(criu::CriuProcess criu,
                             criu::CriuProcess::Spawn(program_, criu::Patience(), tools_dir_));
    spawned.push_back(std::move(criu));
  }
  return spawned;
}

}  // namespace cryopod::checkpoint
