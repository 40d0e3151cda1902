#include "agent/ctl/exit_code.h"

#include <algorithm>
#include <iterator>

namespace cryopod::ctl {
namespace {

struct Row {
  ExitCode exit_code;
  const char* meaning;  // for --help
  Code code;
  const char* remedy;
};

constexpr Row kRows[] = {
    {ExitCode::kOk, "done", Code::kOk, ""},
    {ExitCode::kFailed, "failed for a reason that is not listed here", Code::kPermissionDenied,
     "run it as root"},
    {ExitCode::kUsage, "wrong use: unknown option, impossible name, ambiguous pod, bad request",
     Code::kInvalidArgument, ""},
    {ExitCode::kNotFound, "no such pod, archive or container", Code::kNotFound,
     "`cryopodctl list` shows the archives of this node, `crictl pods` its pods"},
    {ExitCode::kNameTaken, "the name is taken: archive or output file exists", Code::kAlreadyExists,
     "choose another name, or remove the old one with `cryopodctl delete`"},
    {ExitCode::kRefused,
     "refused as things are: pod not running, content that is not carried, unfit node",
     Code::kFailedPrecondition, ""},
    {ExitCode::kDamaged, "the archive is damaged", Code::kDataLoss,
     "remove it with `cryopodctl delete` and import another copy"},
    {ExitCode::kUnreachable, "the agent or the container runtime does not answer",
     Code::kUnavailable,
     "is cryopod-agent running here? --socket or CRYOPOD_SOCKET name another socket"},
    {ExitCode::kNoSpace, "out of space, memory or descriptors", Code::kResourceExhausted,
     "free some space; `cryopodctl list` shows what each archive takes"},
    {ExitCode::kBusy, "another operation runs on the pod, or processes came and went in every try",
     Code::kAborted, "wait until it has ended (`cryopodctl list` shows it) and try again"},
    {ExitCode::kDeadline, "the time for the operation is over", Code::kDeadlineExceeded,
     "try again with more time (--timeout)"},
    // Of no error: the question was answered.
    {ExitCode::kUnfitNode, "`node check` found that this node lacks something", Code::kOk, ""},
    {ExitCode::kCancelled, "the operation was cancelled", Code::kCancelled, ""},
};

// kAborted too, and no operation that one could wait for.
constexpr char kPodChanges[] =
    "let the exec, probe or program that runs in the pod end, and try again; between probes with a "
    "longer period there is time for a checkpoint";

// The first is that of success.
const Row* Find(Code code) {
  const Row* const row = std::ranges::find(kRows, code, &Row::code);
  return row != std::end(kRows) ? row : nullptr;
}

}  // namespace

ExitCode ExitCodeFor(Code code) {
  const Row* const row = Find(code);
  return row != nullptr ? row->exit_code : ExitCode::kFailed;
}

std::string ExitCodeTable() {
  std::string table = "Exit codes:\n";
  for (const Row& row : kRows) {
    const std::string number = std::to_string(static_cast<int>(row.exit_code));
    table += std::string(4 - number.size(), ' ') + number + "  " + row.meaning + "\n";
  }
  return table;
}

std::string Remedy(const Status& status) {
  const bool pod_changes =
      status.reason() == Reason::kPodChanged || status.reason() == Reason::kExecSession;
  if (status.code() == Code::kAborted && pod_changes) return kPodChanges;
  const Row* row = Find(status.code());
  return row != nullptr ? row->remedy : "";
}

}  // namespace cryopod::ctl
