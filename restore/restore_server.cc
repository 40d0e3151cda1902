#include "restore/restore_server.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <utility>

#include "agent/jobs/job_file.h"
#include "agent/os/log.h"
#include "agent/os/unix_socket.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::restore {
namespace {

using std::chrono::seconds;
using wrapper::Answer;
using wrapper::Request;

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
    case Request::Kind::kUnspecified:
      break;
  }
  return Answer::Fail("a request of no kind");
}

}  // namespace

Result<RestoreServer> RestoreServer::Create(const jobs::RestoreJob& job,
                                            const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd signals, OpenSignals());
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd listener, ListenUnix(job_dir + "/" + jobs::kControlSocket));
  return RestoreServer(std::move(listener), std::move(signals), job.idle_timeout);
}

Result<RestoreServer::Ready> RestoreServer::Wait(const PodRestore& pod, Deadline idle_end) const {
  std::vector<pollfd> polled = {{signals_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  for (const UniqueFd& control : controls_) polled.push_back({control.get(), POLLIN, 0});
  for (const Attempt& attempt : attempts_) {
    polled.push_back({attempt.connection.get(), POLLIN, 0});
  }
  Deadline end = idle_end;
  if (pod.hold_end().has_value()) end = end.Sooner(*pod.hold_end());
  const int timeout_ms = pod.HasWork() ? 0 : end.poll_timeout_ms();
  if (::poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) {
    return ErrnoStatus(errno, "poll", "control socket");
  }
  Ready ready;
  ready.signal = polled[0].revents != 0;
  ready.connection = polled[1].revents != 0;
  for (size_t i = 0; i < controls_.size(); ++i) {
    if (polled[2 + i].revents != 0) ready.controls.push_back(i);
  }
  for (size_t i = 0; i < attempts_.size(); ++i) {
    if (polled[2 + controls_.size() + i].revents != 0) ready.attempts.push_back(i);
  }
  return ready;
}

Status RestoreServer::Run(PodRestore& pod) {
  Deadline idle_end = Deadline::After(idle_timeout_);
  while (!pod.finished()) {
    CRYOPOD_ASSIGN_OR_RETURN(const Ready ready, Wait(pod, idle_end));
    if (ready.signal) {
      Log(LogLevel::kInfo, "the restore was told to end");
      return Status();
    }
    if (pod.hold_end().has_value() && pod.hold_end()->expired()) pod.ReleaseHeld();
    ServeAttempts(pod, ready.attempts);
    ServeControls(pod, ready.controls);
    if (ready.connection) Accept();
    if (!ready.any() && pod.HasWork()) pod.Work();
    if (ready.any() || !attempts_.empty()) idle_end = Deadline::After(idle_timeout_);
    if (idle_end.expired()) {
      Log(LogLevel::kWarning, "nobody has asked for the rest of the pod");
      return Status();
    }
  }
  return Status();
}

void RestoreServer::Accept() {
  Result<UniqueFd> connection = AcceptUnix(listener_.get(), Deadline::After(kFrameTimeout));
  // The oldest is the one whose peer is most likely gone.
  if (controls_.size() >= kControlsMax) controls_.erase(controls_.begin());
  if (connection.ok()) controls_.push_back(std::move(*connection));
}

void RestoreServer::ServeControls(PodRestore& pod, const std::vector<size_t>& ready) {
  for (auto index = ready.rbegin(); index != ready.rend(); ++index) {
    Result<Frame> frame = ReceiveFrame(controls_[*index].get(), Deadline::After(kFrameTimeout));
    if (!frame.ok()) {
      controls_.erase(controls_.begin() + static_cast<std::ptrdiff_t>(*index));
      continue;
    }
    if (frame->descriptors.size() != 1) {
      Log(LogLevel::kWarning, "a request without its connection on the control socket");
      continue;
    }
    Serve(pod, frame->bytes, std::move(frame->descriptors.front()));
  }
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

void RestoreServer::ServeAttempts(PodRestore& pod, const std::vector<size_t>& ready) {
  for (auto index = ready.rbegin(); index != ready.rend(); ++index) {
    const Attempt attempt = std::move(attempts_[*index]);
    attempts_.erase(attempts_.begin() + static_cast<std::ptrdiff_t>(*index));
    const Result<wrapper::Outcome> outcome =
        wrapper::ReceiveOutcome(attempt.connection.get(), Deadline::After(kFrameTimeout));
    if (!outcome.ok()) {
      pod.OnWrapperGone(attempt.container_id);
      continue;
    }
    const Answer answer = pod.OnOutcome(attempt.container_id, *outcome);
    static_cast<void>(
        wrapper::Send(attempt.connection.get(), answer, Deadline::After(kFrameTimeout)).ok());
  }
}

}  // namespace cryopod::restore
