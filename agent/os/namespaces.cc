#include "agent/os/namespaces.h"

#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>

#include "agent/os/confinement.h"
#include "agent/os/file.h"
#include "agent/os/signal_mask.h"
#include "agent/os/subprocess.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr size_t kAnswerBytesMax = size_t{4} << 20;
// A child that has answered ends by itself.
constexpr auto kGrace = std::chrono::seconds(1);

// The answer on the pipe: one byte with the code, then the bytes of the result or the message.
[[noreturn]] void SendAnswer(int pipe_fd, const Result<std::string>& answer) {
  const Status status = answer.status();
  const std::string code(1, static_cast<char>(status.code()));
  // When the parent has gone nobody is left to be told.
  const Status sent = WriteAll(pipe_fd, code + (answer.ok() ? *answer : status.message()));
  ::_exit(sent.ok() ? 0 : 1);
}

Result<std::string> DecodeAnswer(const std::string& wire) {
  if (wire.empty())
    return Status(Code::kInternal, "the child in the namespace ended without a word");
  const Code code = CodeFromNumber(static_cast<unsigned char>(wire[0]));
  if (code == Code::kOk) return wire.substr(1);
  return Status(code, wire.substr(1));
}

// Kills a child that has not ended at the deadline.
void EndAndReap(pid_t pid, Deadline deadline) {
  const Result<UniqueFd> pidfd = OpenPidfd(pid);
  if (!pidfd.ok() || !PidfdEnded(pidfd->get(), deadline)) ::kill(pid, SIGKILL);
  Reap(pid);
}

[[noreturn]] void RunChild(int ns_fd, int ns_type, const std::vector<int>& kept, int pipe_fd,
                           const std::function<Result<std::string>()>& act) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::setns(ns_fd, ns_type) != 0) SendAnswer(pipe_fd, ErrnoStatus(errno, "setns", ""));
  const Status given_up = GiveUpCapabilities(kept);
  if (!given_up.ok()) SendAnswer(pipe_fd, given_up);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  SendAnswer(pipe_fd, act());
}

// Reads until every writer has closed.
Result<std::string> ReadUntilClosed(int pipe_fd, Deadline deadline) {
  std::string wire;
  std::array<char, 16384> buffer;
  while (true) {
    CRYOPOD_RETURN_IF_ERROR(
        WaitReady(pipe_fd, POLLIN, deadline, "the child in the namespace was killed"));
    const ssize_t got = ::read(pipe_fd, buffer.data(), buffer.size());
    if (got < 0 && errno != EINTR) return ErrnoStatus(errno, "read", "");
    if (got == 0) return wire;
    if (got > 0) wire.append(buffer.data(), static_cast<size_t>(got));
    if (wire.size() > kAnswerBytesMax) {
      return Status(Code::kResourceExhausted, "the child in the namespace answered too much");
    }
  }
}

Result<std::string> ReadSysVIpc() {
  std::string lines;
  for (const std::string kind : {"shm", "msg", "sem"}) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string table, ReadFile("/proc/sysvipc/" + kind));
    const std::vector<std::string_view> rows = SplitLines(table);
    for (size_t i = 1; i < rows.size(); ++i) {  // the first row is the header
      const std::vector<std::string_view> words = SplitWords(rows[i]);
      int32_t key = 0;
      if (words.size() < 2 || !ParseNumber(words[0], key)) {
        return Status(Code::kDataLoss, "/proc/sysvipc/" + kind + ": unknown form");
      }
      std::array<char, 16> hex{};
      ::snprintf(hex.data(), hex.size(), "0x%x", static_cast<unsigned>(key));
      lines += kind + " key " + hex.data() + " id " + std::string(words[1]) + "\n";
    }
  }
  return lines;
}

}  // namespace

Result<std::string> RunInNamespace(int ns_fd, int ns_type, const std::vector<int>& kept,
                                   const std::function<Result<std::string>()>& act,
                                   Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  pid_t pid = -1;
  {
    const BlockedSignals blocked;
    pid = ::fork();
    if (pid == 0) RunChild(ns_fd, ns_type, kept, pipe.write_end.get(), act);
  }
  if (pid < 0) return ErrnoStatus(errno, "fork", "");
  pipe.write_end.Reset();
  const Result<std::string> wire = ReadUntilClosed(pipe.read_end.get(), deadline);
  EndAndReap(pid, Deadline::After(wire.ok() ? kGrace : std::chrono::seconds(0)));
  return wire.ok() ? DecodeAnswer(*wire) : wire;
}

Result<std::string> ReadHostname(int uts_ns_fd, Deadline deadline) {
  const auto act = []() -> Result<std::string> {
    utsname names{};
    if (::uname(&names) != 0) return ErrnoStatus(errno, "uname", "");
    return std::string(names.nodename);
  };
  return RunInNamespace(uts_ns_fd, CLONE_NEWUTS, {}, act, deadline).While("reading the host name");
}

Status WriteHostname(int uts_ns_fd, const std::string& hostname, Deadline deadline) {
  const auto act = [&hostname]() -> Result<std::string> {
    if (::sethostname(hostname.data(), hostname.size()) != 0) {
      return ErrnoStatus(errno, "sethostname", hostname);
    }
    return std::string();
  };
  return RunInNamespace(uts_ns_fd, CLONE_NEWUTS, {CAP_SYS_ADMIN}, act, deadline)
      .While("setting the host name")
      .status();
}

Result<std::string> ListSysVIpc(int ipc_ns_fd, Deadline deadline) {
  // These files show the namespace of the process that opens them.
  return RunInNamespace(ipc_ns_fd, CLONE_NEWIPC, {}, ReadSysVIpc, deadline)
      .While("listing System V IPC objects");
}

}  // namespace cryopod
