#include "agent/criu/criu_client.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/criu/criu_log.h"
#include "agent/os/file.h"
#include "agent/os/first_in_line.h"
#include "agent/os/log.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

using std::chrono::seconds;

constexpr char kBeforeDump[] = "pre-dump";
constexpr seconds kFinishTimeout{10};
// How often it is asked whether a dump is still wanted.
constexpr std::chrono::milliseconds kLookInterval{10};
constexpr size_t kCheckOutputBytesMax = size_t{256} << 10;

// A CRIU of its own that was asked one thing; that it is dead already its answer tells.
Result<Swrk> Ask(const std::string& criu_program, const std::string& request, int stderr_fd = -1) {
  CRYOPOD_ASSIGN_OR_RETURN(Swrk swrk, SpawnSwrk(criu_program, stderr_fd));
  const Status sent = Send(swrk, request);
  if (!sent.ok() && sent.code() != Code::kUnavailable) return sent.While("asking " + criu_program);
  return swrk;
}

// Whatever has come, or did not in time, is the end of a CRIU that was asked one thing; it is
// killed when it does not answer and end in time.
Result<Answer> HearLast(const std::string& criu_program, Swrk& swrk, Deadline deadline) {
  Result<Answer> answer = Receive(swrk, deadline);
  swrk.socket.Reset();
  const Result<ExitStatus> exit = swrk.process.Wait(deadline.SoonerAfter(seconds(2)));
  if (!answer.ok() && answer.status().code() == Code::kUnavailable && exit.ok()) {
    return Status(Code::kFailedPrecondition,
                  criu_program + " does not work: " + exit->Describe() + " without an answer",
                  Reason::kCriuUnfit);
  }
  return std::move(answer).While("asking " + criu_program);
}

Result<Version> Judge(const std::string& criu_program, const Answer& answer) {
  if (!answer.success || !answer.version) {
    return Status(Code::kFailedPrecondition,
                  criu_program + " does not tell its version: install CRIU " + MinimumText(),
                  Reason::kCriuUnfit);
  }
  if (std::pair(answer.version->major, answer.version->minor) < std::pair(kMajorMin, kMinorMin)) {
    return Status(Code::kFailedPrecondition,
                  criu_program + " is CRIU " + answer.version->text() +
                      ", which cannot dump a cgroup that is frozen already: install CRIU " +
                      MinimumText(),
                  Reason::kCriuUnfit);
  }
  return *answer.version;
}

// What CRIU wrote to its stderr; it has ended and the pipe holds all there will be.
std::string Drain(int pipe_fd) {
  std::string text(kCheckOutputBytesMax, '\0');
  const ssize_t length = ::read(pipe_fd, text.data(), text.size());
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, length)));
  return text;
}

Status AskWhetherFit(const std::string& criu_program, const std::string& request,
                     Deadline deadline) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "pipe2 for", criu_program);
  }
  const UniqueFd reading(pipe[0]);
  const UniqueFd writing(pipe[1]);
  CRYOPOD_ASSIGN_OR_RETURN(Swrk swrk, Ask(criu_program, request, writing.get()));
  CRYOPOD_ASSIGN_OR_RETURN(const Answer answer, HearLast(criu_program, swrk, deadline));
  if (answer.success) return Status();
  const Status reason = ReasonFromLog(Drain(reading.get()));
  const std::string why = reason.ok() ? Printable(answer.error_message) : reason.message();
  return Status(Code::kFailedPrecondition, "CRIU cannot work on this node: " + why,
                Reason::kCriuUnfit);
}

// The end of the log, where the errors stand; empty when there is none.
std::string ReadLogTail(int work_dir_fd) {
  constexpr size_t kTailBytes = size_t{4} << 20;
  Result<std::string> text = ReadTailAt(work_dir_fd, kDumpLogName, kTailBytes);
  return text.ok() ? std::move(text).value() : std::string();
}

Status FailureOf(const Result<Answer>& answer, const ExitStatus& exit, int work_dir_fd) {
  const std::string log = ReadLogTail(work_dir_fd);
  Status reason = ReasonFromLog(log);
  if (!reason.ok()) return reason;
  if (answer.ok() && !answer->error_message.empty()) {
    return Status(Code::kUnknown, "CRIU failed: " + Printable(answer->error_message),
                  Reason::kCriuFailed);
  }
  if (!answer.ok()) return answer.status().While("CRIU (" + exit.Describe() + ")");
  return Status(Code::kUnknown, "CRIU failed and gave no reason (" + exit.Describe() + ")",
                Reason::kCriuFailed);
}

// From now on every write of CRIU fails (it ignores SIGXFSZ, spawned so), and it unwinds as after
// any error: it frees its tasks of what it put into them, lets them go and ends.
void MakeWritesFail(pid_t criu) {
  rlimit limit{};
  if (::prlimit(criu, RLIMIT_FSIZE, nullptr, &limit) != 0) return;
  limit.rlim_cur = 0;
  ::prlimit(criu, RLIMIT_FSIZE, &limit, nullptr);
}

// Says what has become of a CRIU whose dump nobody wants any more. Killed while it holds tasks it
// would leave them stopped, or dead.
std::string EndUnwanted(Subprocess& process, Patience patience) {
  MakeWritesFail(process.pid());
  if (process.WaitOnly(Deadline::After(patience.unwind)).ok()) return "CRIU gave the dump up";
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (TracesAnyone(process.pid())) {
      return "CRIU (PID " + std::to_string(process.pid()) +
             ") still holds the container's processes and is left to end by itself";
    }
    static_cast<void>(process.Kill(signal));
    if (process.WaitOnly(Deadline::After(patience.term)).ok()) {
      return std::string("CRIU had let the container go and was ended with ") +
             (signal == SIGTERM ? "SIGTERM" : "SIGKILL");
    }
  }
  return "CRIU cannot be killed: it hangs in the kernel";
}

// CRIU's own limit for stopping the tasks, so that it gives up and unwinds before we lose patience.
uint32_t FreezeTimeout(Deadline deadline) {
  constexpr int64_t kSecondsMax = 10;  // CRIU's default
  const int64_t left = std::chrono::floor<seconds>(deadline.remaining()).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(left, 1, kSecondsMax));
}

}  // namespace

std::string MinimumText() {
  return std::to_string(kMajorMin) + "." + std::to_string(kMinorMin) + " or newer";
}

Result<Version> CheckVersion(const std::string& criu_program, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(VersionInquiry inquiry, VersionInquiry::Begin(criu_program));
  return std::move(inquiry).Answer(deadline);
}

Result<VersionInquiry> VersionInquiry::Begin(const std::string& criu_program) {
  CRYOPOD_ASSIGN_OR_RETURN(Swrk swrk, Ask(criu_program, VersionRequest()));
  return VersionInquiry(criu_program, std::move(swrk));
}

Result<Version> VersionInquiry::Answer(Deadline deadline) && {
  CRYOPOD_ASSIGN_OR_RETURN(const criu::Answer answer, HearLast(criu_program_, swrk_, deadline));
  return Judge(criu_program_, answer);
}

Status CheckFeatures(const std::string& criu_program, Deadline deadline) {
  // CHECK alone, since CRIU 4.2, neither learns the kernel's facts nor keeps them for the dumps.
  CRYOPOD_RETURN_IF_ERROR(AskWhetherFit(criu_program, FeatureRequest(), deadline));
  return AskWhetherFit(criu_program, CheckRequest(), deadline);
}

Result<CriuProcess> CriuProcess::Spawn(const std::string& criu_program, Patience patience,
                                       const std::string& tools_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(Swrk swrk, SpawnSwrk(criu_program, -1, tools_dir));
  return CriuProcess(std::move(swrk), patience);
}

// Receive, unless nobody wants the dump any more (kCancelled).
Result<Answer> CriuProcess::Hear(Deadline deadline, const std::function<bool()>& unwanted) {
  while (true) {
    if (unwanted()) return Status(Code::kCancelled, "the dump is not wanted any more");
    Result<Answer> answer = Receive(swrk_, deadline.SoonerAfter(kLookInterval));
    const bool is_early = answer.status().code() == Code::kDeadlineExceeded && !deadline.expired();
    if (!is_early) return answer;
  }
}

// What stands in the log is complete only when CRIU has ended.
Status CriuProcess::EndAndTell(const Result<Answer>& answer, Deadline deadline) {
  const bool is_unwanted = answer.status().code() == Code::kCancelled;
  const bool is_late = answer.status().code() == Code::kDeadlineExceeded;
  // It would wait for our word at its next stop; without us it unwinds.
  if (is_late || is_unwanted) swrk_.socket.Reset();
  has_ended_ = true;
  if (is_unwanted) {
    return Status(Code::kCancelled,
                  "the dump was given up; " + EndUnwanted(swrk_.process, patience_));
  }
  const Result<ExitStatus> exit =
      is_late ? Result<ExitStatus>(answer.status()) : swrk_.process.WaitOnly(deadline);
  if (exit.status().code() == Code::kDeadlineExceeded) {
    return Status(Code::kDeadlineExceeded,
                  "the dump did not end in time; " + EndUnwanted(swrk_.process, patience_));
  }
  CRYOPOD_RETURN_IF_ERROR(exit.status().While("waiting for CRIU"));
  return FailureOf(answer, *exit, work_dir_fd_);
}

bool CriuProcess::StillHolds() const {
  const bool has_ended = PidfdEnded(swrk_.process.pidfd(), Deadline::After(seconds(0)));
  return has_begun_ && !has_ended && TracesAnyone(swrk_.process.pid());
}

Status CriuProcess::Park(const DumpOptions& options, int images_dir_fd, int work_dir_fd,
                         Deadline deadline) {
  if (is_parked_ || has_begun_) {
    return Status(Code::kFailedPrecondition, "this CRIU process has been used already");
  }
  work_dir_fd_ = work_dir_fd;
  CRYOPOD_RETURN_IF_ERROR(
      Send(swrk_, DumpRequest(options, images_dir_fd, work_dir_fd, FreezeTimeout(deadline))));
  is_parked_ = true;
  const Result<Answer> answer = Receive(swrk_, deadline);
  if (answer.ok() && answer->asks_to_go_on == kBeforeDump) return Status();
  has_begun_ = true;
  return EndAndTell(answer, deadline);
}

Status CriuProcess::Dump(Deadline deadline, const std::function<bool()>& unwanted) {
  if (!is_parked_ || has_begun_) {
    return Status(Code::kFailedPrecondition, "this CRIU process is not parked");
  }
  has_begun_ = true;
  PutFirstInLine(pid());
  while (true) {
    CRYOPOD_RETURN_IF_ERROR(Send(swrk_, GoOnRequest()));
    const Result<Answer> answer = Hear(deadline, unwanted);
    if (!answer.ok() || !answer->success) return EndAndTell(answer, deadline);
    if (answer->asks_to_go_on.empty()) return Status();
  }
}

void CriuProcess::Finish() {
  if (!has_begun_ || std::exchange(has_ended_, true)) return;
  swrk_.socket.Reset();
  if (swrk_.process.WaitOnly(Deadline::After(kFinishTimeout)).ok()) return;
  Log(LogLevel::kWarning, "CRIU does not end after its dump",
      {{"how", EndUnwanted(swrk_.process, patience_)}});
}

void CriuProcess::Discard() {
  if (std::exchange(has_begun_, true)) return;
  has_ended_ = true;
  // A parked CRIU reads the end of the stream and exits.
  swrk_.socket.Reset();
  static_cast<void>(swrk_.process.Wait(Deadline::After(seconds(2))));
}

}  // namespace cryopod::criu
