// cryopod-unpack: the roof over the modules that know what strangers wrote.
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>

#include "agent/archive/store/settle_layout.h"
#include "agent/archive/unpack/unpack_child.h"
#include "agent/archive/unpack/unpack_task.h"
#include "agent/criu/images/judge_images.h"
#include "agent/criu/images/rewrite_images.h"
#include "agent/criu/images/split_images.h"
#include "agent/os/file.h"

namespace cryopod::archive {
namespace {

Status Rewrite() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadAll(kUnpackInputFd, criu::kLiveRulesBytesMax));
  CRYOPOD_ASSIGN_OR_RETURN(const criu::LiveRules rules, criu::ParseLiveRules(text));
  CRYOPOD_RETURN_IF_ERROR(criu::RewriteImages(kUnpackOutputFd, rules.remade));
  return criu::JudgeImages(kUnpackOutputFd, rules);
}

Status RunGuarded(const UnpackTask& task) {
  try {
    CRYOPOD_RETURN_IF_ERROR(Confine(task, kUnpackOutputFd).While("giving up privileges"));
    if (task.mode == UnpackMode::kRewrite) return Rewrite();
    CRYOPOD_RETURN_IF_ERROR(RunUnpackTask(task, kUnpackInputFd, kUnpackOutputFd));
    if (task.mode == UnpackMode::kImages) return criu::SplitImages(kUnpackOutputFd);
    if (task.mode == UnpackMode::kLayout) return SettleLayout(kUnpackOutputFd);
    return Status();
  } catch (const std::exception& error) {
    // Only the standard library throws, such as bad_alloc at the limit of the address space.
    return Status(Code::kResourceExhausted, std::string("gave up: ") + error.what());
  }
}

}  // namespace
}  // namespace cryopod::archive

int main(int argc, char** argv) {
  using namespace cryopod::archive;  // NOLINT(google-build-using-namespace)
  const std::optional<UnpackTask> task = ParseArguments(argc, argv);
  if (!task) return 2;
  // Names are bytes; in the C locale libarchive would refuse those that are not ASCII.
  (void)::setlocale(LC_CTYPE, "C.UTF-8");
  const cryopod::Status status = RunGuarded(*task);
  if (!status.ok()) (void)cryopod::WriteAll(kUnpackReportFd, FormatReport(status)).ok();
  // What a sanitizer does at the end of a program takes /proc and a process of its own.
  std::_Exit(status.ok() ? 0 : 1);
}
