#include "agent/criu/swrk.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace cryopod::criu {
namespace {

constexpr int kSocketNumber = 3;
constexpr char kSearchPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// The largest answer holds one error line of CRIU's log.
constexpr size_t kAnswerBytesMax = size_t{64} << 10;

Status Ended() {
  return Status(Code::kUnavailable, "CRIU ended without an answer", Reason::kCriuFailed);
}

// One message that is there, or kUnavailable at the end of the stream.
Result<std::string> ReceiveNow(int socket) {
  std::string message(kAnswerBytesMax, '\0');
  const ssize_t length = ::recv(socket, message.data(), message.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (length < 0 && (errno == ECONNRESET || errno == EAGAIN)) return Ended();
  if (length < 0) return ErrnoStatus(errno, "recv from", "criu swrk");
  if (length == 0) return Ended();
  if (static_cast<size_t>(length) > message.size()) {
    return Status(Code::kResourceExhausted, "an answer of CRIU is larger than 64 KiB");
  }
  message.resize(static_cast<size_t>(length));
  return message;
}

}  // namespace

Result<Swrk> SpawnSwrk(const std::string& criu_program, int stderr_fd,
                       const std::string& tools_dir) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return ErrnoStatus(errno, "socketpair for", criu_program);
  }
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);

  SpawnOptions options;
  options.argv = {criu_program, "--no-default-config", "swrk", std::to_string(kSocketNumber)};
  options.environment = {"PATH=" + (tools_dir.empty() ? "" : tools_dir + ":") + kSearchPath};
  options.descriptors = {{kSocketNumber, theirs.get()}};
  if (stderr_fd >= 0) options.descriptors.emplace_back(2, stderr_fd);
  options.new_session = true;
  options.umask = 077;
  Result<Subprocess> process = Subprocess::Spawn(options);
  if (!process.ok() && process.status().code() == Code::kNotFound) {
    return Status(Code::kNotFound,
                  criu_program + ": no such program; install CRIU 4.1 or newer (package criu)");
  }
  if (!process.ok()) return process.status().While("starting " + criu_program);
  return Swrk{std::move(process).value(), std::move(ours)};
}

Status SendMessage(const Swrk& swrk, std::string_view bytes) {
  const ssize_t sent = ::send(swrk.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return Status();
  if (sent < 0 && (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)) return Ended();
  if (sent < 0 && errno == EMSGSIZE) {
    return Status(Code::kResourceExhausted,
                  "the container has more mounts than a request can name");
  }
  return ErrnoStatus(errno, "send to", "criu swrk");
}

Result<std::string> ReceiveMessage(const Swrk& swrk, Deadline deadline) {
  // The pidfd too: a child of CRIU that outlives it would keep the socket open.
  std::array<pollfd, 2> waits = {pollfd{swrk.socket.get(), POLLIN, 0},
                                 pollfd{swrk.process.pidfd(), POLLIN, 0}};
  while (true) {
    const int ready = ::poll(waits.data(), waits.size(), deadline.poll_timeout_ms());
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll of", "criu swrk");
    if (ready > 0) return ReceiveNow(swrk.socket.get());
    if (deadline.expired()) return Status(Code::kDeadlineExceeded, "CRIU has not answered in time");
  }
}

}  // namespace cryopod::criu
