// cryopod-restore --job DIR: restores one pod. See agent/jobs/restore_job.h.
// cryopod-restore --job DIR --end: ends what a process that is gone has left of a restore: lets run
// what was started, ends what was not, removes the staging area.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/jobs/job_file.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/log.h"
#include "agent/os/unix_socket.h"
#include "restore/pod_restore.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::restore {
namespace {

using std::chrono::seconds;
using wrapper::Answer;
using wrapper::Request;

constexpr int kExitUsage = 2;
constexpr int kExitAbandoned = 3;
// For a frame whose first bytes are there: the peer is on this machine.
constexpr seconds kFrameTimeout{2};
constexpr size_t kControlsMax = 16;

Result<UniqueFd> OpenSignals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return ErrnoStatus(errno, "sigprocmask", "");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "signalfd", "");
  return fd;
}

Answer AnswerTo(PodRestore& pod, const Request& request) {
  switch (request.kind) {
    case Request::Kind::kSandbox:
      return pod.OnSandbox(request);
    case Request::Kind::kCreate:
      return pod.OnCreate(request);
    case Request::Kind::kStart:
      return pod.OnStart(request);
    case Request::Kind::kDeleted:
      return pod.OnDeleted(request);
    // A cold start is the agent's.
    case Request::Kind::kColdStart:
    case Request::Kind::kUnspecified:
      break;
  }
  return Answer::Fail("a request that is none of a restore");
}

// Its runtime has ended, or the wrapper is gone.
void ServeAttempt(PodRestore& pod, int connection, const std::string& container_id) {
  const Result<wrapper::Outcome> outcome =
      wrapper::ReceiveOutcome(connection, Deadline::After(kFrameTimeout));
  if (!outcome.ok()) {
    pod.OnWrapperGone(container_id);
    return;
  }
  const Answer answer = pod.OnOutcome(container_id, *outcome);
  static_cast<void>(wrapper::Send(connection, answer, Deadline::After(kFrameTimeout)).ok());
}

// Serves one pod's restore on the control socket of its job directory until every container runs,
// nobody has asked for long, or the process is told to end (SIGTERM, SIGINT).
//
// Threads  one, on purpose: calls are answered one after another, and `start` of one container
//          returns before `create` of the next is asked, so nobody waits for anybody.
class RestoreServer {
 public:
  // Listens on the control socket; blocks SIGTERM and SIGINT in this thread.
  static Result<RestoreServer> Create(const jobs::RestoreJob& job, const std::string& job_dir);

  // Returns when it is over; the last report says how. Errors: kInternal (poll).
  Status Run(PodRestore& pod);

 private:
  // A wrapper whose runtime restores now.
  struct Attempt {
    UniqueFd connection;
    std::string container_id;
  };

  RestoreServer(UniqueFd listener, UniqueFd signals, seconds idle_timeout)
      : listener_(std::move(listener)), signals_(std::move(signals)), idle_timeout_(idle_timeout) {}

  // The descriptors that say something, or whose peer is gone.
  Result<std::set<int>> Wait(const PodRestore& pod, Deadline idle_end) const;
  void ServeReady(PodRestore& pod, const std::set<int>& ready);
  // False when the peer is gone.
  bool ServeControl(PodRestore& pod, int control);
  void Serve(PodRestore& pod, const std::string& bytes, UniqueFd connection);

  UniqueFd listener_;
  UniqueFd signals_;
  seconds idle_timeout_;
  std::vector<UniqueFd> controls_;
  std::vector<Attempt> attempts_;
};

Result<RestoreServer> RestoreServer::Create(const jobs::RestoreJob& job,
                                            const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd signals, OpenSignals());
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd listener, ListenUnix(job_dir + "/" + jobs::kControlSocket));
  return RestoreServer(std::move(listener), std::move(signals), job.idle_timeout);
}

Result<std::set<int>> RestoreServer::Wait(const PodRestore& pod, Deadline idle_end) const {
  std::vector<pollfd> polled = {{signals_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  for (const UniqueFd& control : controls_) polled.push_back({control.get(), POLLIN, 0});
  for (const Attempt& attempt : attempts_) polled.push_back({attempt.connection.get(), POLLIN, 0});
  const Deadline end = idle_end.Sooner(pod.release_time().value_or(idle_end));
  const int timeout_ms = pod.HasWork() || pod.over() ? 0 : end.poll_timeout_ms();
  if (::poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) {
    return ErrnoStatus(errno, "poll", "control socket");
  }
  std::set<int> ready;
  for (const pollfd& one : polled) {
    if (one.revents != 0) ready.insert(one.fd);
  }
  return ready;
}

Status RestoreServer::Run(PodRestore& pod) {
  Deadline idle_end = Deadline::After(idle_timeout_);
  while (!pod.finished()) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::set<int> ready, Wait(pod, idle_end));
    if (ready.contains(signals_.get())) {
      Log(LogLevel::kInfo, "the restore was told to end");
      return Status();
    }
    ServeReady(pod, ready);
    if (ready.empty()) {
      // Who asks for the pod's next container comes first.
      if (pod.over()) return Status();
      const std::optional<Deadline> release = pod.release_time();
      if (release && release->expired()) static_cast<void>(pod.ReleaseHeld().ok());
      if (pod.HasWork()) pod.Work();
    }
    if (!ready.empty() || !attempts_.empty()) idle_end = Deadline::After(idle_timeout_);
    if (idle_end.expired()) {
      Log(LogLevel::kWarning, "nobody has asked for the rest of the pod");
      return Status();
    }
  }
  return Status();
}

void RestoreServer::ServeReady(PodRestore& pod, const std::set<int>& ready) {
  // The ends of attempts first: the next request may be for a container of theirs.
  std::erase_if(attempts_, [&](const Attempt& attempt) {
    if (!ready.contains(attempt.connection.get())) return false;
    ServeAttempt(pod, attempt.connection.get(), attempt.container_id);
    return true;
  });
  std::erase_if(controls_, [&](const UniqueFd& control) {
    return ready.contains(control.get()) && !ServeControl(pod, control.get());
  });
  if (!ready.contains(listener_.get())) return;
  Result<UniqueFd> connection = AcceptUnix(listener_.get(), Deadline::After(kFrameTimeout));
  // The oldest is the one whose peer is most likely gone.
  if (controls_.size() >= kControlsMax) controls_.erase(controls_.begin());
  if (connection.ok()) controls_.push_back(std::move(*connection));
}

bool RestoreServer::ServeControl(PodRestore& pod, int control) {
  Result<Frame> frame = ReceiveFrame(control, Deadline::After(kFrameTimeout));
  if (!frame.ok()) return false;
  if (frame->descriptors.size() == 1) {
    Serve(pod, frame->bytes, std::move(frame->descriptors.front()));
  } else {
    Log(LogLevel::kWarning, "a request without its connection on the control socket");
  }
  return true;
}

void RestoreServer::Serve(PodRestore& pod, const std::string& bytes, UniqueFd connection) {
  const Result<Request> request = wrapper::ParseRequest(bytes);
  const Answer answer =
      request.ok() ? AnswerTo(pod, *request) : Answer::Fail(request.status().message());
  const Status sent = wrapper::Send(connection.get(), answer, Deadline::After(kFrameTimeout));
  if (answer.decision != Answer::Decision::kRestore) return;
  if (!sent.ok()) {
    pod.OnWrapperGone(request->container_id);
    return;
  }
  attempts_.push_back({std::move(connection), request->container_id});
}

Status Restore(const std::string& job_dir, bool end, bool& finished) {
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::RestoreJob job,
                           jobs::ReadFileOf<jobs::RestoreJob>(job_dir, jobs::kRequestFile));
  SetLogContext({{"operation", job.operation_id}, {"pod", job.pod_namespace + "/" + job.pod_name}});
  const auto left = jobs::ReadFileOf<jobs::Report>(job_dir, jobs::kStateFile);
  PodRestore pod(job, job_dir);
  std::optional<RestoreServer> server;
  if (!end) {
    // The socket comes before anything that takes time: somebody waits for it.
    CRYOPOD_ASSIGN_OR_RETURN(server, RestoreServer::Create(job, job_dir));
  }
  pod.Adopt(left.ok() ? *left : jobs::Report());
  Status served = server ? server->Run(pod) : Status();
  server.reset();
  pod.End();
  finished = pod.finished();
  return served;
}

}  // namespace
}  // namespace cryopod::restore

int main(int argc, char** argv) {
  using namespace cryopod;
  const bool end = argc == 4 && std::strcmp(argv[3], "--end") == 0;
  if ((argc != 3 && !end) || std::strcmp(argv[1], "--job") != 0) {
    Log(LogLevel::kError, "usage: cryopod-restore --job DIR [--end]");
    return restore::kExitUsage;
  }
  SetLogLevelFromEnvironment();
  ::umask(0077);
  bool finished = false;
  const Status status = restore::Restore(argv[2], end, finished);
  if (!status.ok()) {
    Log(LogLevel::kError, "restore failed", {{"job", argv[2]}, {"reason", status.message()}});
    return 1;
  }
  return finished ? 0 : restore::kExitAbandoned;
}
