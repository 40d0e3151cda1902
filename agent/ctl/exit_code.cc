#include "agent/ctl/exit_code.h"

namespace cryopod::ctl {
namespace {

struct Row {
  Code code;
  ExitCode exit_code;
  const char* remedy;
};

constexpr Row kRows[] = {
    {Code::kInvalidArgument, ExitCode::kUsage, ""},
    {Code::kNotFound, ExitCode::kNotFound,
     "`cryopodctl list` shows the archives of this node, `crictl pods` its pods"},
    {Code::kAlreadyExists, ExitCode::kNameTaken,
     "choose another name, or remove the old one with `cryopodctl delete`"},
    {Code::kFailedPrecondition, ExitCode::kRefused, ""},
    {Code::kDataLoss, ExitCode::kDamaged,
     "remove it with `cryopodctl delete` and import another copy"},
    {Code::kUnavailable, ExitCode::kUnreachable,
     "is cryopod-agent running here? --socket or CRYOPOD_SOCKET name another socket"},
    {Code::kResourceExhausted, ExitCode::kNoSpace,
     "free some space; `cryopodctl list` shows what each archive takes"},
    {Code::kAborted, ExitCode::kBusy,
     "wait until it has ended (`cryopodctl list` shows it) and try again"},
    {Code::kDeadlineExceeded, ExitCode::kDeadline, "try again with more time (--timeout)"},
    {Code::kCancelled, ExitCode::kCancelled, ""},
    {Code::kPermissionDenied, ExitCode::kFailed, "run it as root"},
};

// kAborted too, and no operation that one could wait for.
constexpr char kPodChanges[] =
    "let the exec, probe or program that runs in the pod end, and try again; between probes with a "
    "longer period there is time for a checkpoint";

constexpr char kTable[] =
    "Exit codes:\n"
    "   0  done\n"
    "   1  failed for a reason that is not listed here\n"
    "   2  wrong use: unknown option, impossible name, ambiguous pod, bad request\n"
    "   3  no such pod, archive or container\n"
    "   4  the name is taken: archive or output file exists\n"
    "   5  refused as things are: pod not running, content that is not carried, unfit node\n"
    "   6  the archive is damaged\n"
    "   7  the agent or the container runtime does not answer\n"
    "   8  out of space, memory or descriptors\n"
    "   9  another operation runs on the pod, or processes came and went in every try\n"
    "  10  the time for the operation is over\n"
    "  11  `node check` found that this node lacks something\n"
    "  12  the operation was cancelled\n";

const Row* Find(Code code) {
  for (const Row& row : kRows) {
    if (row.code == code) return &row;
  }
  return nullptr;
}

}  // namespace

ExitCode ExitCodeFor(Code code) {
  if (code == Code::kOk) return ExitCode::kOk;
  const Row* row = Find(code);
  return row != nullptr ? row->exit_code : ExitCode::kFailed;
}

std::string ExitCodeTable() { return kTable; }

std::string Remedy(const Status& status) {
  const bool pod_changes =
      status.reason() == Reason::kPodChanged || status.reason() == Reason::kExecSession;
  if (status.code() == Code::kAborted && pod_changes) return kPodChanges;
  const Row* row = Find(status.code());
  return row != nullptr ? row->remedy : "";
}

}  // namespace cryopod::ctl
